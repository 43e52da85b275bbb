"""Who may change whose account, where a site gives ``admin:users`` to somebody who is no administrator."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from jupyterhub import orm
from tornado.web import HTTPError

from mlabhub.hub_accounts import check_may_change

ROOT, ANN = orm.User(name="root", admin=True), orm.User(name="ann", admin=False)
HELPER, ADMIN = SimpleNamespace(name="helper", admin=False), SimpleNamespace(name="admin", admin=True)


def test_nobody_becomes_an_administrator_by_setting_ones_password() -> None:
    with pytest.raises(HTTPError) as refused:
        check_may_change(HELPER, ROOT)
    assert refused.value.status_code == 403
    assert "root is an administrator" in str(refused.value.log_message)


@pytest.mark.parametrize("by", [ADMIN, orm.Service(name="command-line")], ids=["administrator", "service"])
def test_administrators_and_services_change_all(by: object) -> None:
    check_may_change(by, ROOT)
    check_may_change(by, ANN)


def test_others_are_changed_by_whoever_has_the_right() -> None:
    check_may_change(HELPER, ANN)
