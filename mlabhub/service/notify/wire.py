"""Hand one message to Apprise.

Guarantees: it raises nothing; why a message was not taken is said by numbers and words of ours, never by what Apprise
or a server wrote, for these repeat addresses; nothing of Apprise's own log is passed on. Apprise is loaded with the
first address, for it is slow to load.
"""

from __future__ import annotations

import logging
import re
import threading
import warnings
from dataclasses import dataclass
from functools import cache
from typing import Any

from mlabhub.messages import N_, Message

_STATUS = re.compile(r"\berror=(\d{3})\b|\((\d{3}), ")
_CONNECTION = re.compile(r"Connection error|Connection refused|timed out|Name or service not known", re.IGNORECASE)
_TALKATIVE = ("urllib3", "requests", "requests_oauthlib", "oauthlib")
"""At the level of debugging they write addresses."""
NOTHING = Message("")


@dataclass(frozen=True)
class Outcome:
    """Whether a message was taken, and why not."""

    taken: bool
    why: Message = NOTHING


class _Numbers(logging.Handler):
    """Keeps of a thread's log lines what can be no secret: a status, and whether the connection failed."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self._here = threading.local()

    def start(self) -> None:
        self._here.status, self._here.unreachable = None, False

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if found := _STATUS.search(text):
            self._here.status = found[1] or found[2]
        if _CONNECTION.search(text):
            self._here.unreachable = True

    def why(self) -> Message:
        """Say why this thread's message was not taken."""
        if self._here.status is not None:
            return Message.of(N_("it answered {status}"), status=self._here.status)
        if self._here.unreachable:
            return Message(N_("it cannot be reached"))
        return Message(N_("it did not take the message"))


@cache
def _load() -> tuple[Any, _Numbers]:
    """Return Apprise, silent, and what listens to it."""
    with warnings.catch_warnings():  # of a module of Python's own that it tries to load
        warnings.simplefilter("ignore", DeprecationWarning)
        import apprise  # half a second, and only needed where messages are set up

        apprise.Apprise.instantiate("json://localhost/")  # loads its plug-ins

    for name in _TALKATIVE:
        logger = logging.getLogger(name)
        logger.setLevel(max(logger.level, logging.WARNING))
    numbers = _Numbers()
    log = logging.getLogger("apprise")
    log.setLevel(logging.DEBUG)
    log.propagate = False
    log.handlers[:] = [numbers]
    return apprise, numbers


def is_known(address: str) -> bool:
    """Return whether Apprise understands an address."""
    apprise, numbers = _load()
    numbers.start()
    try:
        return apprise.Apprise.instantiate(address, suppress_exceptions=True) is not None
    except Exception:  # of a plug-in, about an address that it did not foresee
        return False


def send(address: str, title: str, body: str) -> Outcome:
    """Send one message; it may take long."""
    try:
        apprise, numbers = _load()
        numbers.start()
        asset = apprise.AppriseAsset(app_id="mlabhub", app_desc="mlabhub", async_mode=False)
        service = apprise.Apprise.instantiate(address, asset=asset, suppress_exceptions=True)
        if service is None:
            return Outcome(False, Message(N_("its address is not one that Apprise understands")))
        if "overflow=" not in address:
            service.overflow_mode = apprise.OverflowMode.SPLIT
        # Not through Apprise's own pool, whose threads keep a program from ending while a server hangs.
        taken = service.notify(title=title, body=body, body_format=apprise.NotifyFormat.TEXT)
        return Outcome(True) if taken else Outcome(False, numbers.why())
    except Exception as error:  # its text may have the address
        return Outcome(False, Message.of(N_("it failed: {kind}"), kind=type(error).__name__))
