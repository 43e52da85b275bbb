"""Who is told what, and in which words: names as far as the readers may know them, and nothing that a name can do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlabhub.catalog import LoadedNotifications
from mlabhub.core.notifications import Notifications
from mlabhub.core.privacy import Privacy
from mlabhub.i18n import get_translator
from mlabhub.messages import Message
from mlabhub.service import news
from mlabhub.service.news import NewsItem
from mlabhub.service.notify import Letter, letters_about
from mlabhub.service.notify.letters import WORTH_S, harmless, line_of, name_of, write

AT = 1_732_233_600.0
ROOT = "https://hub.lab.example/services/mlabhub/"
MAIL = "mailto://robot:pw@mail.lab.example?to={user}@lab.example"
EVERYTHING = {
    "site": {
        "admins": {"url": "json://admins/"},
        "all": {"url": "json://all/", "audience": "everybody"},
    },
    "groups": {"vision": {"url": "slack://A/B/C/#vision"}},
    "users": {"default": {"url": MAIL}, "bob": {"kinds": []}, "carol": {"url": "json://carol/", "kinds": ["queued"]}},
}


def load(**data: Any) -> LoadedNotifications:
    settings = Notifications.model_validate(data)
    addresses = {place: channel.url for place, channel in settings.channels() if channel.url is not None}
    return LoadedNotifications(Path("notifications.yaml"), True, settings, addresses)


def reclaimed(user: str = "alice", group: str | None = "vision", **more: Any) -> NewsItem:
    return news.Reclaimed(**{"user": user, "launch_id": "01J", "server": "train", "at": AT, "group": group, **more})


def to(one: NewsItem, privacy: Privacy = "group", **data: Any) -> dict[str, Letter]:
    return {letter.address: letter for letter in letters_about(one, load(**(data or EVERYTHING)), privacy)}


def test_nothing_goes_anywhere_by_itself() -> None:
    assert list(letters_about(reclaimed(), load(), "open")) == []


def test_the_person_the_group_and_the_site_are_told() -> None:
    assert set(to(reclaimed())) == {
        "mailto://robot:pw@mail.lab.example?to=alice@lab.example",
        "slack://A/B/C/#vision",
        "json://admins/",
        "json://all/",
    }


def test_another_group_is_not_told() -> None:
    assert "slack://A/B/C/#vision" not in to(reclaimed(group="nlp"))
    assert "slack://A/B/C/#vision" not in to(reclaimed(group=None))


def test_an_own_entry_takes_the_place_of_the_default() -> None:
    assert not [address for address in to(reclaimed("bob")) if "bob" in address]
    assert "json://carol/" not in to(reclaimed("carol"))
    queued = news.Queued(user="carol", launch_id="01J", server="", at=AT, position=1)
    assert set(to(queued)) == {"json://carol/"}


def test_a_name_that_is_not_fit_for_an_address_gets_none_and_the_others_are_told() -> None:
    assert set(to(reclaimed("eve,root@evil.example"))) == {"slack://A/B/C/#vision", "json://admins/", "json://all/"}


def test_a_notice_is_worth_sending_until_its_deadline() -> None:
    notice = news.NoticeGiven(user="alice", launch_id="01J", server="", at=AT, deadline=AT + 600)
    assert {letter.expires for letter in to(notice).values()} == {AT + 600}
    assert {letter.urgent for letter in to(notice).values()} == {True}
    assert {letter.expires for letter in to(reclaimed()).values()} == {AT + WORTH_S}


def said(letter: Letter, language: str = "en") -> str:
    return "\n".join(write([letter], get_translator(language), ROOT))


@pytest.mark.parametrize(
    ("privacy", "everybody", "group"),
    [
        pytest.param("open", True, True, id="open"),
        pytest.param("group", False, True, id="group"),
        pytest.param("self", False, False, id="self"),
    ],
)
def test_channels_hear_names_by_the_privacy_setting(privacy: Privacy, everybody: bool, group: bool) -> None:
    one = news.Refused(
        user="alice", launch_id="01J", server="train", at=AT, group="vision", reason=Message("dave holds it.")
    )
    letters = to(one, privacy)
    assert "alice" in said(letters["json://admins/"])
    for address, known in (("json://all/", everybody), ("slack://A/B/C/#vision", group)):
        text = said(letters[address])
        assert ("alice" in text) == known
        assert ("train" in text) == known
        assert ("dave" in text) == known
        assert "{" not in text


def test_a_person_is_told_who_comes_back_and_a_channel_is_not() -> None:
    notice = news.NoticeGiven(
        user="alice",
        launch_id="01J",
        server="",
        at=AT,
        group="vision",
        deadline=AT + 600,
        for_whom=Message("It is dan."),
    )
    letters = to(notice, "open")
    assert [address for address, letter in letters.items() if "dan" in said(letter)] == [
        "mailto://robot:pw@mail.lab.example?to=alice@lab.example"
    ]


def test_the_message_links_to_where_one_can_act() -> None:
    notice = news.NoticeGiven(user="alice", launch_id="01J", server="", at=AT, deadline=AT + 600)
    for letter in to(notice).values():
        assert said(letter).splitlines()[-1] == f"{ROOT}release/01J"


@pytest.mark.parametrize(
    "name",
    [
        "<!channel> look",
        "@everyone",
        '<at user_id="all">x</at>',
        "[free GPUs](https://evil.example)",
        "https://evil.example/x",
        "a\r\nBcc: eve@evil.example",
        "{server.__class__}",
        "`code` <b>x</b>",
        "\u202egnp.exe",
    ],
)
def test_a_name_is_text_in_every_chat(name: str) -> None:
    for letter in to(reclaimed(name, display_name=name), "open", **{**EVERYTHING, "users": {}}).values():
        title, body = write([letter], get_translator("en"), ROOT)
        text, link = body.rsplit("\n", 1)
        assert link == ROOT
        assert not set(title + text) & set("@<>[]`\r\n\u202e")
        assert "://" not in title + text
        if "{" in name:
            assert "{server.__class__}" in title


def test_several_for_one_address_are_one_message_with_everything() -> None:
    letters = [to(reclaimed(server=f"s{number}"))["json://admins/"] for number in range(3)]
    title, body = write(letters, get_translator("en"), ROOT)
    assert title == "3 messages about servers"
    for number in range(3):
        assert f"alice: s{number} was stopped" in body


def test_what_is_said_of_an_address_is_its_service() -> None:
    assert name_of("slack://A/B/C") == "slack"
    assert name_of("Hunter2 hunter2://x") == "?"
    assert name_of("") == "?"
    assert repr(to(reclaimed())["json://admins/"]).count("json://") == 0


def test_people_at_one_mail_server_share_a_line_and_chats_do_not() -> None:
    assert line_of(MAIL) == line_of(MAIL.replace("robot:pw", "other:pw2"))
    assert line_of("slack://A/B/C") != line_of("slack://D/B/C")
    assert line_of("json://[::1") == "json://[::1"


def test_harmless_keeps_what_people_write() -> None:
    assert harmless("训练 résumé #3 (v1.2) 50%") == "训练 résumé #3 (v1.2) 50%"
