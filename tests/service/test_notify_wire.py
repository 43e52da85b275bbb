"""Messages through Apprise to real receivers on this machine: what arrives, and what is said when it does not."""

from __future__ import annotations

import io
import logging
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from mlabhub.service.notify import wire
from tests.service.receivers import Mailbox, Receiver, http_receiver, mail_server

SECRET = "hunter2hunter2"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with http_receiver() as one:
        yield one


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with mail_server() as one:
        yield one


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What a service at its most talkative writes into its log; pytest's own listens to silenced loggers as well."""
    text, root = io.StringIO(), logging.getLogger()
    handler, level = logging.StreamHandler(text), root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield text
    root.setLevel(level)
    root.removeHandler(handler)


def test_a_webhook_gets_title_and_text(receiver: Receiver) -> None:
    assert wire.send(receiver.address(), "It is your turn", "train starts now.\nhttp://hub/starting/1").taken
    (got,) = receiver.got
    assert got["title"] == "It is your turn"
    assert got["message"] == "train starts now.\nhttp://hub/starting/1"
    assert receiver.paths == ["/secret-path/"]


def test_text_is_not_a_pattern_and_keeps_its_characters(receiver: Receiver) -> None:
    text = "{user} {0} %s \\n <b>&amp; 张三 :smile: **x**"
    assert wire.send(receiver.address(), text, text).taken
    assert receiver.got[0]["title"] == text
    assert receiver.got[0]["message"] == text


def test_a_mail_goes_to_one_person_with_one_subject(mailbox: Mailbox) -> None:
    title = "alice: 轮到 train 了\r\nBcc: eve@evil.example"
    assert wire.send(mailbox.address("to=alice@lab.example"), title, "<b>bold</b> & more\nhttp://hub/x").taken
    ((recipients, mail),) = mailbox.got
    assert recipients == ["alice@lab.example"]
    assert mail["Bcc"] is None
    assert "轮到 train 了" in mail["Subject"]
    assert len(mail.get_all("To", [])) == len(mail.get_all("Subject", [])) == 1
    body = mail.get_body()
    assert body is not None
    assert body.get_content_type() == "text/plain"
    assert body.get_content().split() == ["<b>bold</b>", "&", "more", "http://hub/x"]


def test_a_name_that_is_quoted_is_one_recipient(mailbox: Mailbox) -> None:
    assert wire.send(mailbox.address("to=a%2Bb@lab.example"), "t", "b").taken
    assert mailbox.got[0][0] == ["a+b@lab.example"]


@pytest.mark.parametrize(
    ("status", "words"),
    [(500, "it answered 500"), (404, "it answered 404"), (401, "it answered 401"), (429, "it answered 429")],
)
def test_a_refusal_is_said_by_its_number(receiver: Receiver, status: int, words: str, log: io.StringIO) -> None:
    receiver.answers = [status]
    outcome = wire.send(receiver.address(), "title", "body")
    assert not outcome.taken
    assert str(outcome.why) == words
    assert SECRET not in log.getvalue()
    assert "secret-path" not in log.getvalue()


def test_a_connection_that_is_closed_or_refused_is_said(
    receiver: Receiver, log: io.StringIO, capfd: pytest.CaptureFixture[str]
) -> None:
    receiver.behave = "close"
    closed = wire.send(receiver.address(), "title", "body")
    refused = wire.send(f"json://robot:{SECRET}@127.0.0.1:9/", "title", "body")
    for outcome in (closed, refused):
        assert not outcome.taken
        assert str(outcome.why) == "it cannot be reached"
    assert SECRET not in log.getvalue() + "".join(capfd.readouterr())


def test_a_receiver_that_hangs_is_given_up_by_its_time_out(receiver: Receiver) -> None:
    receiver.behave = "hang"  # for a minute
    began = time.monotonic()
    outcome = wire.send(receiver.address("?rto=0.5&cto=0.5"), "title", "body")
    assert not outcome.taken
    assert time.monotonic() - began < 30


def test_a_mail_that_is_refused_is_said_by_its_number(mailbox: Mailbox, log: io.StringIO) -> None:
    logging.getLogger("mail.log").setLevel(logging.ERROR)  # the receiver's own
    mailbox.refuse = f"554 {SECRET} is not wanted"
    outcome = wire.send(mailbox.address("to=alice@lab.example"), "title", "body")
    assert not outcome.taken
    assert str(outcome.why) == "it answered 554"
    assert SECRET not in log.getvalue()


@pytest.mark.parametrize(
    "address", ["", "nonsense", "nonsense://x", "slack://", "json://", "mailto://x", "json://[::1"]
)
def test_what_is_no_address_is_said_and_harms_nothing(address: str) -> None:
    assert not wire.is_known(address)
    outcome = wire.send(address, "title", "body")
    assert not outcome.taken
    assert "Apprise" in str(outcome.why)


@pytest.mark.parametrize(
    "address",
    [
        "mailto://robot:password@mail.lab.example:587?to=alice@lab.example&from=robot@lab.example",
        "mailtos://robot:password@mail.lab.example?to=alice@lab.example",
        "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#gpu",
        "wecombot://693axxx6-7aoc-4bc4-97a0-0ec2sifa5aaa",
        "dingtalk://SECabcdef0123456789@0123456789abcdef0123456789abcdef",
        "feishu://d8c4a2f0-1234-5678-9abc-def012345678",
        "lark://d8c4a2f0-1234-5678-9abc-def012345678",
        "json://robot:password@hooks.lab.example/gpu",
        "jsons://hooks.lab.example/gpu",
    ],
)
def test_the_addresses_of_the_documentation_are_understood(address: str) -> None:
    assert wire.is_known(address)


def test_a_long_text_comes_in_parts_or_whole_and_nothing_is_lost(receiver: Receiver) -> None:
    body = "\n".join(f"line {number}" for number in range(5000))
    assert wire.send(receiver.address(), "title", body).taken
    everything = "\n".join(got["message"] for got in receiver.got)
    assert "line 0\n" in everything
    assert "line 4999" in everything


def test_the_service_starts_without_loading_it() -> None:
    """It takes half a second, which nobody should pay for what is off."""
    code = "import sys; import mlabhub.service.app, mlabhub.service.notify; print('apprise' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"
