"""What notifications.yaml may say, and how a name becomes a part of an address."""

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mlabhub.core.notifications import FOR_CHANNELS, FOR_PEOPLE, Channel, Kind, Notifications, fill_address
from mlabhub.service.account_news import ACCOUNT_KINDS
from mlabhub.service.idle_news import IDLE_KINDS
from mlabhub.service.news import KINDS

MAIL = "mailto://robot:pw@mail.lab.example?to={user}@lab.example"
WHOLE = "mailto://robot:pw@mail.lab.example?to={user}"


def test_every_kind_of_news_can_be_chosen() -> None:
    all_kinds = {*KINDS, *IDLE_KINDS, *ACCOUNT_KINDS}
    assert set(get_args(Kind)) == all_kinds
    assert set(FOR_PEOPLE) | {"queued"} == all_kinds
    assert set(FOR_CHANNELS) < all_kinds


def test_nothing_is_sent_without_the_file() -> None:
    assert list(Notifications().channels()) == []


@pytest.mark.parametrize(
    ("address", "user", "filled"),
    [
        pytest.param(MAIL, "alice", "mailto://robot:pw@mail.lab.example?to=alice@lab.example", id="plain"),
        pytest.param(MAIL, "a.b-c_d", "mailto://robot:pw@mail.lab.example?to=a.b-c_d@lab.example", id="signs"),
        pytest.param(MAIL, "a+b", "mailto://robot:pw@mail.lab.example?to=a%2Bb@lab.example", id="plus is quoted"),
        pytest.param(WHOLE, "a@b.example", "mailto://robot:pw@mail.lab.example?to=a%40b.example", id="whole address"),
        pytest.param(MAIL, "a@evil.example", None, id="an address before another"),
        pytest.param(MAIL.replace("}@", "}%40"), "a@evil.example", None, id="quoted at sign"),
        pytest.param("slack://a/b/c/#all", "x", "slack://a/b/c/#all", id="nothing to fill"),
        pytest.param(MAIL, "bob,eve@evil.example", None, id="two addresses"),
        pytest.param(WHOLE, "bob,eve@evil.example", None, id="two whole addresses"),
        pytest.param(MAIL, "bob eve", None, id="space"),
        pytest.param(MAIL, "a\r\nBcc: eve@evil.example", None, id="header"),
        pytest.param(MAIL, "a\n", None, id="line end"),
        pytest.param(MAIL, "a&smtp=evil.example", None, id="another argument"),
        pytest.param(MAIL, "a%2Ceve", None, id="quoted already"),
        pytest.param(MAIL, "{user}", None, id="a pattern"),
        pytest.param(MAIL, "../x", None, id="a path"),
        pytest.param(MAIL, "", None, id="empty"),
        pytest.param(MAIL, "x" * 10_000, None, id="long"),
        pytest.param(MAIL, "张三", None, id="not of mail"),
    ],
)
def test_a_name_is_one_value_of_an_address_or_there_is_none(address: str, user: str, filled: str | None) -> None:
    assert fill_address(address, user) == filled


@given(st.text())
def test_no_name_changes_the_rest_of_an_address(user: str) -> None:
    filled = fill_address(MAIL, user)
    if filled is not None:
        head, tail = MAIL.split("{user}")
        assert filled.startswith(head)
        assert filled.endswith(tail)
        assert not set(filled[len(head) : len(filled) - len(tail)]) & set("@,;&=?#/ \r\n<>{}")


@pytest.mark.parametrize(
    "data",
    [
        pytest.param({"site": {"admins": {"url": "slack"}}}, id="no address"),
        pytest.param({"site": {"admins": {"url": "json://x", "url_file": "y"}}}, id="both"),
        pytest.param({"site": {"admins": {"url": MAIL}}}, id="a person in a channel"),
        pytest.param({"groups": {"vision": {"url": MAIL}}}, id="a person in a group"),
        pytest.param({"users": {"default": {"url": MAIL, "kinds": ["all"]}}}, id="unknown kind"),
        pytest.param({"language": "fr"}, id="language"),
        pytest.param({"somebody_waits_after_minutes": 0}, id="at once"),
        pytest.param({"somebody_waits_after_minutes": True}, id="true"),
        pytest.param({"site": {"": {"url": "json://x"}}}, id="no name"),
        pytest.param({"urls": ["json://x"]}, id="unknown key"),
    ],
)
def test_what_cannot_be_is_refused(data: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Notifications.model_validate(data)


def test_printing_it_shows_no_address() -> None:
    assert "pw" not in repr(Channel(url="json://user:pw@host/"))
    assert "pw" not in repr(Notifications.model_validate({"site": {"a": {"url": "json://user:pw@host/"}}}))
