"""The call of the agents inside servers: ``POST reports``."""

from __future__ import annotations

from typing import Any

from mlabhub.errors import TooLarge
from mlabhub.messages import N_, Message
from mlabhub.service.bodies import ReportsBody
from mlabhub.service.handlers.base import JsonHandler
from mlabhub.service.reports import Reports

LARGEST_BODY = 64 * 1024


class ReportsHandler(JsonHandler):
    """``POST reports``, with the token of a launch."""

    def check_xsrf_cookie(self) -> None:
        """No cookie counts here."""

    def post(self) -> None:
        """Take one report or several."""
        reports: Reports = self.application.settings["reports"]
        subject = reports.admit(self.request.headers.get("Authorization", "").removeprefix("Bearer "))
        if len(self.request.body) > LARGEST_BODY:
            raise TooLarge(
                Message.of(
                    N_("The reports of one call are larger than {limit} KiB. Send fewer at once."),
                    limit=LARGEST_BODY // 1024,
                )
            )
        self.answer(reports.take(subject, self.body(ReportsBody)))

    def write_error(self, status_code: int, **keywords: Any) -> None:
        """Say with a 429 also in the header when to come again."""
        error = keywords.get("exc_info", (None, None, None))[1]
        if wait := getattr(error, "data", {}).get("retry_after"):
            self.set_header("Retry-After", str(wait))
        super().write_error(status_code, **keywords)
