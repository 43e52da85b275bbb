"""Where accounts are opened and closed, at hand for whoever answers a request: calls and pages alike."""

from __future__ import annotations

from tornado.web import Application

from mlabhub.service.people.closing import ClosingDesk
from mlabhub.service.people.desk import PeopleDesk


class DesksAtHand:
    """What a handler finds them by."""

    application: Application

    @property
    def people_desk(self) -> PeopleDesk:
        """Where accounts are opened."""
        desk: PeopleDesk = self.application.settings["people_desk"]
        return desk

    @property
    def closing_desk(self) -> ClosingDesk:
        """Where accounts are closed."""
        desk: ClosingDesk = self.application.settings["closing_desk"]
        return desk
