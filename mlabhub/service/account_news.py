"""What people are told of their accounts, as news; see `mlabhub.service.news`."""

from __future__ import annotations

from dataclasses import dataclass

from mlabhub.core.quote import quote_all
from mlabhub.core.reasons import sentences
from mlabhub.messages import N_, Message
from mlabhub.service.news import NewsItem, clock_text

SERVERS = N_("Its servers are being stopped; what was installed in them is kept as long as the files.")


@dataclass(frozen=True, kw_only=True)
class AccountClosed(NewsItem):
    """It was closed, or is kept until another time than was said. No launch is meant: ``launch_id`` is empty.

    Files are kept until ``keep_until``; ``servers`` are what the servers that ran are called, ``waiting`` is
    how many requests left the queue.
    """

    kind = "account_closed"
    launch_id: str = ""
    server: str = ""
    keep_until: float
    servers: tuple[str, ...] = ()
    waiting: int = 0

    page = ""

    @property
    def title(self) -> Message:
        """It in a few words."""
        return Message(N_("The account was closed"))

    @property
    def body(self) -> Message:
        """What happened, why, and what can be done."""
        parts = [Message(N_("An administrator closed the account: nobody logs in there, and nothing starts."))]
        if self.servers:
            parts.append(Message(SERVERS))
        if self.waiting:
            parts.append(Message.of(N_("Requests that left the queue: {count}."), count=self.waiting))
        kept = N_("Files and saved images are kept until {until}, and may be removed after that.")
        parts.append(Message.of(kept, until=clock_text(self.keep_until)))
        return sentences([*parts, Message(N_("Until then an administrator can reopen the account with all of it."))])

    def personal(self) -> Message:
        """Return the body with the names of the servers, which their person chose."""
        if not self.servers:
            return self.body
        names = quote_all(one or "-" for one in self.servers)
        return sentences([self.body, Message.of(N_("Servers: {servers}."), servers=names)])


ACCOUNT_KINDS = {one.kind: one for one in (AccountClosed,)}
"""They go beside `mlabhub.service.news.KINDS`."""
