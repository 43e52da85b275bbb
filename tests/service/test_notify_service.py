"""Messages of a whole service: off by itself, on by a file, read again when it changes, and notices survive a crash."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mlabhub.ledger import ReclaimNotice, Record
from mlabhub.service import news
from mlabhub.service.notify import tell_again
from mlabhub.service.notify.notifier import notice_of
from mlabhub.service.projection import Projection
from mlabhub.service.world import World
from mlabhub.service.writer import Outcome
from tests.service.conftest import Running, make_settings, run_service
from tests.service.receivers import Receiver, http_receiver


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with http_receiver() as one:
        yield one


def configure(folder: Path, text: str, mode: int = 0o600) -> Path:
    file = folder / "config" / "notifications.yaml"
    file.write_text(text)
    file.chmod(mode)
    return file


def for_people(receiver: Receiver) -> str:
    return f"users: {{default: {{url: '{receiver.address('{user}')}'}}}}\n"


async def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    for _ in range(int(seconds / 0.02)):
        if condition():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it did not become so in time")


async def commit(world: World, *records: Record) -> None:
    await world.writer.submit(lambda _: Outcome(None, records))


async def with_notice(one: Running, seconds: float = 600, entry: str = "for-whom") -> ReclaimNotice:
    """Let alice run something and be told to give it back."""
    await one.spawn("alice", "train", {"profile": "gpu", "group": "vision"})
    reservation = one.of_server("alice", "train")
    assert reservation is not None
    now = one.world.clock()
    notice = ReclaimNotice(reservation.launch_id, now, now + seconds, entry, changed=now)
    await commit(one.world, notice)
    return notice


def notice_in(projection: Projection) -> ReclaimNotice:
    (notice,) = projection.notices.values()
    return notice


async def test_without_the_file_nothing_is_sent_and_news_harm_nothing(running: Running) -> None:
    running.world.news.tell(news.Reclaimed(user="alice", launch_id="x", server="", at=0))
    assert (await running.call("GET", "health", who=None)).json()["status"] == "ok"
    measures = (await running.call("GET", "metrics", "admin")).text
    assert 'mlabhub_notifications_total{result="sent"} 0.0' in measures


async def test_what_is_told_before_the_file_was_read_is_sent_after_it(tmp_path: Path, receiver: Receiver) -> None:
    settings = make_settings(tmp_path)
    configure(tmp_path, for_people(receiver) + "language: zh_CN\n")
    async with run_service(settings) as one:
        one.world.news.tell(
            news.Started(user="alice", launch_id="01J", server="train", at=one.world.clock(), gpus=1, gpu_type="a100")
        )
        await until(lambda: len(receiver.got) == 1)
    assert receiver.paths == ["/secret-path/alice"]
    assert receiver.got[0]["message"].endswith("http://127.0.0.1:8000/services/mlabhub/starting/01J")


async def test_it_is_recorded_that_the_holder_was_told(tmp_path: Path, receiver: Receiver) -> None:
    settings = make_settings(tmp_path)
    configure(tmp_path, for_people(receiver))
    async with run_service(settings) as one:
        notice = await with_notice(one)
        reservation = one.of_server("alice", "train")
        assert reservation is not None
        one.world.news.tell(notice_of(reservation, notice))
        await until(lambda: notice_in(one.projection).told is not None)
        assert replace(notice_in(one.projection), told=None) == notice
    assert len(receiver.got) == 1
    assert "release/" in receiver.got[0]["message"]
    async with run_service(settings, one.hub, one.backend):  # it was told: not again
        await asyncio.sleep(1)
    assert len(receiver.got) == 1


async def test_a_notice_that_no_server_took_before_a_crash_is_told_after_it(tmp_path: Path, receiver: Receiver) -> None:
    settings = make_settings(tmp_path)
    async with run_service(settings) as one:  # told to nobody: as if it had been killed
        await with_notice(one)
    configure(tmp_path, for_people(receiver))
    async with run_service(settings, one.hub, one.backend) as again:
        await until(lambda: notice_in(again.projection).told is not None)
    assert len(receiver.got) == 1


async def test_a_channel_that_took_it_does_not_count_as_the_holder(tmp_path: Path, receiver: Receiver) -> None:
    settings = make_settings(tmp_path)
    configure(tmp_path, f"site: {{admins: {{url: '{receiver.address()}'}}}}\n")
    async with run_service(settings) as one:
        notice = await with_notice(one)
        reservation = one.of_server("alice", "train")
        assert reservation is not None
        one.world.news.tell(notice_of(reservation, notice))
        await until(lambda: len(receiver.got) == 1)
        await asyncio.sleep(0.1)
        assert notice_in(one.projection).told is None


async def test_a_newer_notice_is_not_marked_by_the_message_about_an_older_one(
    tmp_path: Path, receiver: Receiver
) -> None:
    settings = make_settings(tmp_path)
    configure(tmp_path, for_people(receiver))
    async with run_service(settings) as one:
        notice = await with_notice(one)
        reservation = one.of_server("alice", "train")
        assert reservation is not None
        await commit(one.world, replace(notice, at=notice.at + 5, deadline=notice.deadline + 5))
        one.world.news.tell(notice_of(reservation, notice))
        await until(lambda: len(receiver.got) == 1)
        await asyncio.sleep(0.1)
        assert notice_in(one.projection).told is None


async def test_only_notices_that_still_count_are_told_again(running: Running) -> None:
    class Heard:
        def __init__(self) -> None:
            self.items: list[news.NewsItem] = []

        def tell(self, one: news.NewsItem) -> None:
            self.items.append(one)

    notice = await with_notice(running)
    heard = Heard()
    assert tell_again(running.projection, heard, notice.at + 1) == 1
    assert tell_again(running.projection, heard, notice.deadline) == 0
    await commit(running.world, replace(notice, told=notice.at))
    assert tell_again(running.projection, heard, notice.at + 1) == 0
    await commit(running.world, replace(notice, state="withdrawn"))
    assert tell_again(running.projection, heard, notice.at + 1) == 0
    assert [(one.user, one.server, one.kind) for one in heard.items] == [("alice", "train", "notice")]


async def test_the_end_of_a_longest_duration_is_told_again_as_what_it_is(tmp_path: Path, receiver: Receiver) -> None:
    settings = make_settings(tmp_path)
    async with run_service(settings) as one:
        await with_notice(one, entry="")
    configure(tmp_path, for_people(receiver))
    async with run_service(settings, one.hub, one.backend) as again:
        await until(lambda: notice_in(again.projection).told is not None)
    assert "has run nearly as long as its profile allows" in receiver.got[0]["message"]


async def test_decisions_go_on_while_every_receiver_hangs(tmp_path: Path, receiver: Receiver) -> None:
    receiver.behave = "hang"
    settings = make_settings(tmp_path)
    configure(tmp_path, for_people(receiver))
    async with run_service(settings) as one:
        for number in range(200):
            one.world.news.tell(news.Reclaimed(user=f"u{number}", launch_id="x", server="", at=one.world.clock()))
        await until(lambda: receiver.asked > 0)
        began = one.world.clock()
        await one.spawn("alice", "train", {"profile": "gpu", "group": "vision"})
        assert one.of_server("alice", "train") is not None
        assert one.world.clock() - began < 2
        began = one.world.clock()
    assert one.world.clock() - began < 10


async def test_a_change_of_the_file_is_in_force_and_a_fault_changes_nothing(
    tmp_path: Path, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    settings = make_settings(tmp_path)
    async with run_service(settings) as one:

        def tell(launch_id: str) -> None:
            one.world.news.tell(
                news.Reclaimed(user="alice", launch_id=launch_id, server=launch_id, at=one.world.clock())
            )

        configure(tmp_path, for_people(receiver))
        while not receiver.got:
            tell("first")
            await asyncio.sleep(0.5)
        file = configure(tmp_path, "users: {default: {url: 'json://hunter2hunter2/', kinds: [all]}}\n")
        await until(lambda: "has faults" in caplog.text)
        count = len(receiver.got)
        tell("second")
        await until(lambda: len(receiver.got) == count + 1)
        file.chmod(0o644)
        await until(lambda: "others can read" in caplog.text)
    assert "hunter2" not in caplog.text
