"""A service that is killed while a mail server does not answer tells of the notice when it runs again."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mlabhub.ledger import ReclaimNotice, open_sqlite
from mlabhub.settings import Settings
from tests.bench.bench_admission import make_installation, start_service
from tests.service.receivers import http_receiver


def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    for _ in range(int(seconds / 0.05)):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("it did not become so in time")


def told(settings: Settings) -> float | None:
    ledger = open_sqlite(settings.ledger_file)
    try:
        (notice,) = ledger.load(0.0).notices
        return notice.told
    finally:
        ledger.close()


@pytest.mark.long
def test_a_killed_service_tells_again_and_ends_at_once_though_a_receiver_hangs(tmp_path: Path) -> None:
    settings = make_installation(tmp_path, 3)
    ledger = open_sqlite(settings.ledger_file)
    now = time.time()
    ledger.commit([ReclaimNotice(f"01HELD{1:020}", now, now + 600, "", changed=now)])
    ledger.close()
    with http_receiver() as receiver:
        receiver.behave = "hang"
        file = settings.config_dir / "notifications.yaml"
        file.touch(0o600)
        file.write_text(f"users: {{default: {{url: '{receiver.address('{user}?rto=60')}'}}}}\n")
        first = start_service(settings)
        until(lambda: receiver.asked > 0)
        first.send_signal(signal.SIGKILL)
        assert first.wait(30) == -signal.SIGKILL
        assert told(settings) is None
        second = start_service(settings)
        until(lambda: receiver.asked > 1)
        second.terminate()
        assert second.wait(30) == 0  # the receiver hangs for a minute
        assert told(settings) is None
        receiver.behave = "answer"
        third = start_service(settings)
        try:
            until(lambda: told(settings) is not None)
        finally:
            third.terminate()
            third.wait(10)
        assert receiver.paths == ["/secret-path/user1"]
        fourth = start_service(settings)
        fourth.terminate()
        fourth.wait(10)
        assert len(receiver.got) == 1
