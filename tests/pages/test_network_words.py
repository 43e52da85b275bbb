"""What a server reaches, in words."""

from __future__ import annotations

from gettext import NullTranslations

import pytest

from mlabhub.core.network import Egress, NetworkSpec
from mlabhub.i18n import Translator
from mlabhub.service.pages.words import network_text

ENGLISH = Translator("en", NullTranslations())
GIT = {"cidr": "10.1.2.3", "description": "git"}


@pytest.mark.parametrize(
    ("egress", "lab", "words"),
    [
        ("open", [], "The Internet can be reached from it."),
        ("closed", [GIT], "No network can be reached from it: files come in through the airlock."),
        ("lab", [], "No network can be reached from it: the lab has not opened anything."),
        ("lab", [{"cidr": "10.1.2.3"}], "Only what the lab has opened can be reached from it, not the Internet."),
        ("lab", [GIT, {"cidr": "10.1.2.4"}, GIT], "Only this can be reached from it: git."),
        (
            "lab",
            [GIT, {"cidr": "10.1.2.4", "description": "PyPI {mirror}"}],
            "Only this can be reached from it: git, PyPI {mirror}.",
        ),
    ],
)
def test_words(egress: Egress, lab: list[dict[str, str]], words: str) -> None:
    assert network_text(ENGLISH, egress, NetworkSpec.model_validate({"lab": lab})) == words


@pytest.mark.parametrize("egress", ["open", "lab", "closed"])
def test_where_nobody_keeps_it_nothing_is_promised(egress: Egress) -> None:
    assert network_text(ENGLISH, egress, None) == ""
