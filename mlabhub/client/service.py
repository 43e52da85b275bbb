"""Client of the mlabhub service, for spawners and for the command line on the same machine.

Every call is idempotent on the service's side, so each is tried again for `retry_s` seconds while the service is
restarted; then `Unavailable` is raised and nothing was started. There is no way to start without a reservation.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from mlabhub.client.transport import Answer, NoAnswer, NotSent, exchange, make_http
from mlabhub.core.plan import LaunchPlan
from mlabhub.errors import InvalidLaunch, LaunchRefused, MLabError, NotFound, NotPermitted, TooLarge, Unavailable
from mlabhub.messages import LONGEST, N_, Message, message_json, read_message
from mlabhub.settings import Settings

NOT_READ = N_("The service's answer cannot be read; are hub and service of one version?")
DEFAULT_SERVER = "_"
"""How the hub's default server, whose name is empty, is written in a URL. No hub server can have this name."""
MOST_NOTES = 20

_PAUSES_S = (0.05, 0.1, 0.2, 0.4, 0.8)
_ERRORS: dict[int, type[MLabError]] = {
    400: InvalidLaunch,
    403: NotPermitted,
    404: NotFound,
    409: LaunchRefused,
    413: TooLarge,
    422: InvalidLaunch,
    429: LaunchRefused,
}


@dataclass(frozen=True)
class Admission:
    """The service's answer to a spawner: may it start, and exactly what."""

    admitted: bool
    plan: LaunchPlan | None
    payer: str | None
    reasons: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """Return why not, in one text for the person."""
        return " ".join(self.reasons)


class ServiceClient:
    """Talks to the service with the spawners' shared secret.

    ``secret`` is called for each request, so that a changed secret file is seen without a restart.
    """

    def __init__(self, base_url: str, secret: Callable[[], str], *, retry_s: float = 8.0, timeout_s: float = 10.0):
        self._http = make_http(base_url, "", timeout_s=timeout_s)
        self._secret = secret
        self._retry_s = retry_s

    @classmethod
    def from_settings(cls, settings: Settings, **keywords: float) -> ServiceClient:
        """Make a client of the service of this installation."""
        return cls(settings.service_url, lambda: settings.spawner_secret_file.read_text().strip(), **keywords)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def reserve(
        self,
        user: str,
        server: str,
        *,
        launch_id: str,
        user_options: dict[str, Any],
        groups: tuple[str, ...],
        backend: str,
        deadline_s: float,
    ) -> Admission:
        """Redeem the launch that ``user_options`` names, or be admitted on the spot under ``launch_id``.

        ``deadline_s`` counts from now; after it hub and backend are asked whether the start came to anything.
        Raises an `MLabError` when the launch is malformed, used or unknown, `Unavailable` when there is no answer.
        """
        body = {
            "launch_id": launch_id,
            "user_options": user_options,
            "groups": list(groups),
            "backend": backend,
            "deadline": deadline_s,
        }
        answer = await self._call("PUT", _path(user, server), body)
        admitted = answer.get("decision") == "admit"
        return Admission(
            admitted=admitted,
            plan=LaunchPlan.from_dict(answer["plan"]) if admitted else None,
            payer=answer.get("payer"),
            reasons=tuple(str(reason["message"]) for reason in answer.get("reasons", ())),
        )

    async def placed(self, user: str, server: str, launch_id: str, node: str) -> None:
        """Say on which node the cluster put this launch, where that is another than the plan's."""
        await self._call("POST", _path(user, server) + "/placed", {"launch_id": launch_id, "node": node})

    async def short(self, user: str, server: str, launch_id: str) -> Message | None:
        """Ask what there is too little of for a launch that the cluster finds no node for.

        None: by the service's count there is a place.
        """
        answer = await self._call("POST", _path(user, server) + "/short", {"launch_id": launch_id})
        try:
            return None if answer.get("short") is None else read_message(answer["short"])
        except ValueError as error:
            raise MLabError(NOT_READ, log_text=f"short: {error}") from None

    async def held(self, user: str, server: str, launch_id: str, notes: Sequence[Message] = ()) -> None:
        """Say that the server of this launch runs, and what its owner is to know about it."""
        await self._call("POST", _path(user, server) + "/held", make_held_body(launch_id, notes))

    async def released(
        self,
        user: str,
        server: str,
        launch_id: str,
        *,
        reason: Message | None = None,
        passing: bool = False,
        served: bool = False,
    ) -> None:
        """Say that nothing of this launch runs any more; ``reason`` is why it did not start or ended, for its owner.

        ``passing``: the same may start another time, as it stands. ``served``: people were let in by then. Also right
        for a launch that the service does not know.
        """
        body = make_released_body(launch_id, reason, passing=passing, served=served)
        await self._call("POST", _path(user, server) + "/released", body)

    async def reconcile(self, *, repair: bool = False, dry_run: bool = False) -> dict[str, Any]:
        """Compare hub, backend and ledger now; with ``repair`` also act on what is only shown otherwise.

        With ``dry_run`` act on nothing.
        """
        return await self._call("POST", "api/v1/reconcile", {"repair": repair, "dry_run": dry_run})

    async def _call(self, method: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = await self._patiently(method, path, body)
        if answer.status < 400 and isinstance(answer.body, dict):
            return answer.body
        raise error_of(answer.status, answer.body)

    async def _patiently(self, method: str, path: str, body: dict[str, Any]) -> Answer:
        give_up = time.monotonic() + self._retry_s
        for attempt in range(1_000_000):
            try:
                headers = {"Authorization": f"Bearer {self._secret()}"}
                answer = await exchange(self._http, method, path, json=body, headers=headers)
                if answer.status not in {502, 503, 504}:
                    return answer
                reason = answer.sentence or f"HTTP {answer.status}"
            except (NotSent, NoAnswer, OSError) as error:
                reason = str(error)
            if time.monotonic() >= give_up:
                break
            await asyncio.sleep(_PAUSES_S[min(attempt, len(_PAUSES_S) - 1)])
        raise Unavailable(_unavailable(reason), log_text=f"{method} {path}: {reason}")


PERSON_HEADER = "Mlabhub-Person"
"""Who of its machine's people uses the command line there, percent-encoded."""


def error_of(status: int, body: Any) -> MLabError:
    """Return the error that the service answered with."""
    kind = _ERRORS.get(status, Unavailable)
    data = body.get("error", {}) if isinstance(body, dict) else {}
    data = {key: value for key, value in data.items() if key != "message"} if isinstance(data, dict) else {}
    return kind(Answer(status, body).sentence or _unavailable(f"HTTP {status}"), **data)


def make_held_body(launch_id: str, notes: Sequence[Message]) -> dict[str, Any]:
    """Return what tells the service that a launch runs; whatever the notes, it takes that."""
    more = {"notes": [_note_json(note) for note in notes[:MOST_NOTES]]} if notes else {}
    return {"launch_id": launch_id, **more}


def make_released_body(
    launch_id: str, reason: Message | None, *, passing: bool = False, served: bool = False
) -> dict[str, Any]:
    """Return what tells the service that a launch is over; whatever the reason, it takes that."""
    more = {name: True for name, is_so in (("passing", passing), ("served", served)) if is_so}
    return {"launch_id": launch_id, "note": None if reason is None else _note_json(reason), **more}


def _note_json(note: Message) -> dict[str, Any]:
    """Return a note that the service takes: a sentence that it would refuse as plain text, cut off where too long."""
    data = message_json(note)
    try:
        read_message(data)
        json.dumps(data, ensure_ascii=False, allow_nan=False).encode()
    except ValueError:
        plain = str(note)[:LONGEST].encode("utf-8", "replace").decode()
        return message_json(Message.of(N_("{reason}"), reason=plain))
    return data


def _unavailable(reason: str) -> Message:
    return Message.of(
        N_(
            "The launch service does not answer ({reason}), so nothing was changed. "
            "Try again in a minute; if it stays so, tell an administrator."
        ),
        reason=reason,
    )


def _path(user: str, server: str) -> str:
    return f"api/v1/reservations/{quote(user, safe='')}/{quote(server or DEFAULT_SERVER, safe='')}"
