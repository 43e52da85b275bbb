"""Letters on their way: nothing waits for them, lines do not hold each other up, and giving up is bounded and said."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from mlabhub.messages import Message
from mlabhub.service import news
from mlabhub.service.metrics import Metrics
from mlabhub.service.notify import Letter, Post, wire
from mlabhub.service.notify import post as post_module
from mlabhub.service.notify.post import MOST_IN_LINE, MOST_TOGETHER, TRIES
from mlabhub.service.notify.wire import Outcome
from tests.service.receivers import http_receiver

SECRET = "hunter2hunter2"
HANGS_S = 60.0
"""For how long what hangs does so; whoever waits for it takes about as long."""


async def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    """Wait until something is so."""
    for _ in range(int(seconds / 0.005)):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it did not become so in time")


class Wire:
    """Takes messages, or does what it is told for an address."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, str]] = []
        self.tries: list[str] = []
        self.refuse: dict[str, int] = {}
        self.hang: set[str] = set()
        self.free = threading.Event()
        self.at_once = 0
        self.most_at_once = 0
        self._lock = threading.Lock()

    def send(self, address: str, title: str, body: str) -> Outcome:
        with self._lock:
            self.tries.append(address)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            if address in self.hang:
                self.free.wait(HANGS_S)
                return Outcome(False, Message("late"))
            with self._lock:
                if self.refuse.get(address, 0) > 0:
                    self.refuse[address] -= 1
                    return Outcome(False, Message("it answered 500"))
                self.taken.append((address, body))
            return Outcome(True)
        finally:
            with self._lock:
                self.at_once -= 1


class Site:
    """A post and what it works with; a clock that is real unless it is moved."""

    def __init__(self, post: Post, wire: Wire, metrics: Metrics, sent: list[Letter]):
        self.post, self.wire, self.metrics, self.sent = post, wire, metrics, sent
        self.ahead = 0.0

    def put(self, text: str, address: str = "json://a/", line: str = "a", **more: Any) -> None:
        item = more.pop("item", None) or news.Reclaimed(user="alice", launch_id=text, server=text, at=time.time())
        self.post.put(Letter(item, address, line, None, **{"expires": time.time() + 60, **more}))

    def count(self, result: str) -> float:
        value = self.metrics.registry.get_sample_value("mlabhub_notifications_total", {"result": result})
        assert value is not None
        return value

    async def quiet(self, seconds: float = 20) -> None:
        """Wait until nothing is on its way."""
        await until(lambda: not self.post.waiting, seconds)


@asynccontextmanager
async def site(**more: Any) -> AsyncIterator[Site]:
    one, metrics, sent = Wire(), Metrics(), []

    def write(letters: Sequence[Letter]) -> tuple[str, str]:
        return "title", ",".join(letter.item.server for letter in letters)

    async def on_sent(letter: Letter) -> None:
        sent.append(letter)

    here = Site(None, one, metrics, sent)  # type: ignore[arg-type]
    here.post = Post(
        more.pop("send", one.send),
        write,
        metrics,
        lambda: time.time() + here.ahead,
        on_sent,
        **{"first_pause_s": 0.01, "pace_s": 0.05, "patience_s": 0.3, **more},
    )
    try:
        yield here
    finally:
        await here.post.close(0.2)
        one.free.set()


async def test_a_letter_is_sent_and_said_to_be() -> None:
    async with site() as here:
        here.put("train")
        await here.quiet()
        assert here.wire.taken == [("json://a/", "train")]
        assert [letter.item.server for letter in here.sent] == ["train"]
        assert here.count("sent") == 1


async def test_what_is_told_at_once_to_one_address_is_one_message() -> None:
    async with site() as here:
        for number in range(MOST_TOGETHER + 2):
            here.put(f"s{number}")
        await here.quiet()
        assert [body.count(",") + 1 for _, body in here.wire.taken] == [MOST_TOGETHER, 2]


async def test_one_that_is_not_taken_is_tried_again() -> None:
    async with site() as here:
        here.wire.refuse = {"json://a/": 2}
        here.put("train")
        await here.quiet()
        assert here.wire.tries == ["json://a/"] * 3
        assert (here.count("sent"), here.count("retried"), here.count("dropped")) == (1, 2, 0)


async def test_one_that_is_never_taken_is_given_up_and_said(caplog: pytest.LogCaptureFixture) -> None:
    address = f"json://u:{SECRET}@a/"
    async with site(first_pause_s=0.001) as here:
        here.wire.refuse = {address: 100}
        here.put("train", address)
        await here.quiet()
        assert here.wire.tries == [address] * TRIES
        assert (here.count("sent"), here.count("dropped")) == (0, 1)
        assert here.sent == []
    assert "given up: 1; the last: it answered 500" in caplog.text
    assert "by json" in caplog.text
    assert SECRET not in caplog.text


async def test_a_line_that_hangs_holds_up_no_other_and_not_the_end() -> None:
    async with site(patience_s=0.05) as here:
        here.wire.hang = {"json://ill/"}
        for number in range(50):
            here.put(f"i{number}", "json://ill/", "ill")
            here.put(f"w{number}", "json://well/", "well")
        await until(lambda: len(here.sent) == 50)
        assert here.wire.at_once <= post_module.AT_ONCE
        began = time.monotonic()
        await here.post.close(0.1)
        assert time.monotonic() - began < HANGS_S / 2


async def test_a_line_that_was_ill_gets_well(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with site() as here:
        here.wire.refuse = {"json://a/": 1}
        here.put("train")
        await here.quiet()
    assert "was not taken: it answered 500; it is tried again" in caplog.text
    assert "are taken again" in caplog.text


async def test_a_letter_that_has_expired_is_not_sent() -> None:
    async with site() as here:
        here.put("late", expires=time.time() - 1)
        await here.quiet()
        assert here.wire.tries == []
        assert here.count("dropped") == 1


async def test_no_try_comes_after_the_deadline() -> None:
    async with site(first_pause_s=5.0) as here:
        here.wire.refuse = {"json://a/": 9}
        here.put("notice", expires=time.time() + 2)
        await here.quiet(3)
        assert here.wire.tries == ["json://a/"]
        assert here.count("dropped") == 1


async def test_a_chat_gets_few_messages_a_minute_and_all_that_was_told() -> None:
    async with site(pace_s=0.2) as here:
        began = time.monotonic()
        for number in range(3):
            here.put(f"s{number}", paced=True)
            await asyncio.sleep(0.03)
        await here.quiet()
        assert [body for _, body in here.wire.taken] == ["s0", "s1,s2"]
        assert time.monotonic() - began >= 0.2


async def test_a_notice_goes_before_what_waits() -> None:
    async with site() as here:
        for number in range(100):
            here.put(f"s{number}", f"json://a/{number}")
        notice = news.NoticeGiven(user="bob", launch_id="n", server="notice", at=0, deadline=time.time() + 60)
        here.put("notice", "json://a/n", item=notice)
        await here.quiet()
        assert [body for _, body in here.wire.taken].index("notice") < 10


async def test_ten_thousand_at_once_are_taken_at_once_and_all_sent() -> None:
    async with site() as here:
        began = time.thread_time()
        for number in range(10_000):
            here.put(f"s{number}", f"json://a/{number % 500}")
        assert time.thread_time() - began < 2
        await here.quiet(60)
        assert here.count("sent") == 10_000
        assert here.wire.most_at_once <= post_module.AT_ONCE
        assert len(here.wire.taken) == 1000


async def test_more_than_is_bearable_is_dropped_counted_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    async with site() as here:
        here.wire.hang = {"json://ill/"}
        for number in range(MOST_IN_LINE + 500):
            here.put(f"s{number}", "json://ill/", "ill")
        assert here.post.waiting == MOST_IN_LINE
        assert here.count("dropped") == 500
        assert caplog.text.count("given up") == 1


async def test_after_the_end_nothing_is_taken() -> None:
    async with site() as here:
        await here.post.close(0.1)
        here.put("late")
        assert here.post.waiting == 0
        assert here.count("dropped") == 1


async def test_a_message_that_cannot_be_written_is_given_up_without_a_word_of_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(address: str, title: str, body: str) -> Outcome:
        raise ValueError(address)

    async with site(send=fail, first_pause_s=0.001) as here:
        here.put("train", f"json://{SECRET}/")
        await here.quiet()
        assert here.count("dropped") == 1
    assert "it failed: ValueError" in caplog.text
    assert SECRET not in caplog.text


async def test_a_real_receiver_that_fails_at_first_gets_it_in_the_end() -> None:
    with http_receiver() as receiver:
        receiver.answers = [500, 503]
        async with site(send=wire.send, patience_s=10) as here:
            here.put("train", receiver.address())
            await here.quiet(30)
        assert [got["message"] for got in receiver.got] == ["train"]
        assert receiver.asked == 3


async def test_a_real_receiver_that_answers_a_byte_at_a_time_holds_nothing_up() -> None:
    with http_receiver() as slow, http_receiver() as well:
        slow.behave = "drip"
        async with site(send=wire.send, patience_s=1.0, first_pause_s=30.0) as here:
            here.put("slow", slow.address(), "slow")
            here.put("well", well.address(), "well")
            await until(lambda: here.count("sent") + here.count("retried") == 2)
            assert [got["message"] for got in well.got] == ["well"]
            began = time.monotonic()
            await here.post.close(0.1)
            assert time.monotonic() - began < HANGS_S / 2
