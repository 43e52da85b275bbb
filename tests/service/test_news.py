"""What is told to people can be said for every kind, in every language, whatever a server is called."""

import time

import pytest

from mlabhub.i18n import get_translator
from mlabhub.messages import Message
from mlabhub.service import account_news, idle_news, news

COMMON = {"user": "alice", "launch_id": "01J", "at": 1_732_233_600.0, "gpus": 2, "gpu_type": "a100"}
IDLE = Message("GPU idle for 1 h.")
ITEMS = {
    "queued": news.Queued(server="train", position=3, wait=Message("Probably soon."), **COMMON),
    "queued-again": news.Queued(server="train", position=1, again=True, **COMMON),
    "started": news.Started(server="train", claim_by=1_732_234_500.0, borrowed=True, **COMMON),
    "refused": news.Refused(server="train", reason=Message("The profile is gone."), **COMMON),
    "removed": news.Refused(server="train", reason=Message("An administrator took it out."), removed=True, **COMMON),
    "given_back": news.GivenBack(server="train", minutes=15, **COMMON),
    "notice": news.NoticeGiven(server="", deadline=1_732_234_200.0, for_whom=Message("bob comes back."), **COMMON),
    "notice_withdrawn": news.NoticeWithdrawn(server="train", **COMMON),
    "reclaimed": news.Reclaimed(server="train", **COMMON),
    "ends_soon": news.EndsSoon(server="train", ends=1_732_234_200.0, **COMMON),
    "machine_closes": news.MachineCloses(
        server="train", closes=1_732_300_000.0, node="n1", reason="new disks", **COMMON
    ),
    "somebody_waits": news.SomebodyWaits(server="train", wanted="1 A100", unused_since=1_732_230_000.0, **COMMON),
    "gpu_released": news.GpuReleased(server="train", said=Message("It goes on."), rescue="/mnt/user/a/x", **COMMON),
    "idle_warned": idle_news.IdleWarned(server="train", said=IDLE, until=1_732_234_500.0, **COMMON),
    "idle_warned-release": idle_news.IdleWarned(
        server="train", said=IDLE, until=1_732_234_500.0, action="release-gpu", **COMMON
    ),
    "idle_warned-only": idle_news.IdleWarned(
        server="train", said=IDLE, until=1_732_234_500.0, action="nothing", **COMMON
    ),
    "idle_withdrawn": idle_news.IdleWithdrawn(server="train", said=Message("It was used."), **COMMON),
    "idle_stopped": idle_news.IdleStopped(server="train", said=IDLE, **COMMON),
    "idle_stopped-unsaid": idle_news.IdleStopped(server="train", said=None, **COMMON),
    "account_closed": account_news.AccountClosed(user="alice", at=COMMON["at"], keep_until=1_740_009_600.0),
    "account_closed-at-work": account_news.AccountClosed(
        user="alice", at=COMMON["at"], keep_until=1_740_009_600.0, servers=("train", "x"), waiting=2
    ),
}
LAUNCH_KINDS = news.KINDS | idle_news.IDLE_KINDS


def test_every_kind_has_a_name_of_its_own_and_an_example_here() -> None:
    kinds = LAUNCH_KINDS | account_news.ACCOUNT_KINDS
    assert {one.kind for one in ITEMS.values()} == set(kinds)
    assert len(kinds) == 15


@pytest.mark.parametrize("name", ITEMS)
@pytest.mark.parametrize("language", ["en", "zh_CN"])
def test_every_kind_can_be_said(name: str, language: str) -> None:
    t = get_translator(language)
    one = ITEMS[name]
    for text in (t.say(one.title), t.say(one.body), t.say(one.personal())):
        assert text
        assert "{" not in text
        assert (
            one.kind == "account_closed"
            or "2 A100" in text
            or "train" in text
            or "1 A100" in text
            or "Default" in text
            or "默认" in text
        )


@pytest.mark.parametrize("name", ["{user}", "a\r\nBcc: all@example.org", "%s", "x" * 10_000, "\x1b[2J"])
def test_a_name_is_text_in_one_line_whatever_it_is(name: str) -> None:
    one = news.Reclaimed(server="train", display_name=name, **COMMON)
    assert "\n" not in str(one.title)
    assert "\r" not in str(one.body)
    assert str(one.title).isprintable()
    assert len(str(one.body)) < 400
    if "{" in name:
        assert "{user}" in str(one.title)


def test_who_comes_back_is_said_to_the_holder_alone() -> None:
    one = ITEMS["notice"]
    assert "bob" in str(one.personal())
    assert "bob" not in str(one.title) + str(one.body)


def test_the_notice_says_how_long_there_is() -> None:
    assert "in 10 min" in str(ITEMS["notice"].body)


def test_names_of_a_closed_account_s_servers_are_said_to_its_person_alone() -> None:
    one = ITEMS["account_closed-at-work"]
    assert "Servers: train, x." in str(one.personal())
    assert "train" not in str(one.title) + str(one.body)
    assert "2025-02-" in str(one.body)


def test_what_can_be_given_back_links_to_where_one_gives_it_back() -> None:
    assert ITEMS["notice"].page == ITEMS["somebody_waits"].page == "release/01J"


def test_times_say_their_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    for zone, text in (("UTC", "2024-11-22 00:00 UTC"), ("Asia/Shanghai", "2024-11-22 08:00 CST")):
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        assert news.clock_text(COMMON["at"]) == text
    monkeypatch.undo()
    time.tzset()


def test_nobody_listening_takes_everything() -> None:
    silent: news.News = news.NoNews()
    for one in ITEMS.values():
        silent.tell(one)
