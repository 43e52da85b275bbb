"""A service that admits what a test tells it to: real HTTP, plans made by the core, everything remembered."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from mlabhub.core.identity import GroupId, Identity
from mlabhub.core.mounts import MountChoice
from mlabhub.core.plan import LaunchPlan
from mlabhub.core.storage import Storage, mounts_for
from mlabhub.core.tools import WORKBENCH, Kind
from mlabhub.messages import message_of
from mlabhub.settings import Settings


@dataclass
class Book:
    """What the service was asked, and what it answers."""

    settings: Settings
    image_reference: str
    refusal: str = ""
    status: int = 200
    gpus: tuple[str, ...] = ()
    mode: str = ""
    sudo: bool = False
    memory_gib: float = 0.25
    chosen: tuple[MountChoice, ...] = ()
    kind: Kind = WORKBENCH
    log_folders: tuple[str, ...] = ()
    shares: dict[str, dict[str, str]] = field(default_factory=dict)
    asked: list[dict[str, Any]] = field(default_factory=list)
    held: list[str] = field(default_factory=list)
    notes: list[Any] = field(default_factory=list)
    released: list[str] = field(default_factory=list)
    placed: list[tuple[str, str]] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    served: list[str] = field(default_factory=list)

    def renew(self) -> None:
        """Answer as at first, and remember nothing."""
        fresh = Book(self.settings, self.first_reference)
        self.__dict__.update(fresh.__dict__)
        self.settings.spawner_secret_file.write_text("shared")

    def __post_init__(self) -> None:
        self.first_reference = self.image_reference

    def answer(self, user: str, server: str, body: dict[str, Any]) -> dict[str, Any]:
        """Return the answer to a spawner that asks for a place."""
        self.asked.append({"user": user, "server": server, **body})
        if self.refusal:
            return {"decision": "refuse", "reasons": [{"code": "no_room", "message": self.refusal}]}
        return {"decision": "admit", "payer": None, "plan": self.plan(user, server, body["launch_id"]).to_dict()}

    def plan(self, user: str, server: str, launch_id: str) -> LaunchPlan:
        """Return a small plan."""
        identity = Identity(user, 200001, 200001, (GroupId("vision", 200100),))
        storage = Storage.model_validate({"shares": self.shares}).located(str(self.settings.nas_dir))
        return LaunchPlan(
            launch_id=launch_id,
            user=user,
            server_name=server,
            display_name="",
            profile="small",
            image="tiny",
            image_reference=self.image_reference,
            group="vision",
            cpu=0.5,
            memory_gib=self.memory_gib,
            shm_gib=0.0625,
            pids=64,
            gpu_type="a100" if self.gpus else None,
            gpus=self.gpus,
            environment={
                "MLABHUB_LAUNCH_ID": launch_id,
                "MLABHUB_HOME": storage.home(user),
                "TEST_MODE": self.mode,
            },
            mounts=mounts_for(storage, identity, chosen=self.chosen),
            identity=identity,
            sudo=self.sudo,
            node="here",
            cpu_guarantee=0.05,
            kind=self.kind,
            log_folders=self.log_folders,
        )


class _Reservations(RequestHandler):
    def initialize(self, book: Book) -> None:
        self.book = book

    def prepare(self) -> None:
        secret = self.book.settings.spawner_secret_file.read_text()
        assert self.request.headers["Authorization"] == f"Bearer {secret}"

    def put(self, user: str, server: str) -> None:
        if self.book.status != 200:
            self.set_status(self.book.status)
            self.write({"error": {"code": "launch_used", "message": self.book.refusal}})
            return
        self.write(self.book.answer(user, "" if server == "_" else server, json.loads(self.request.body)))

    def post(self, user: str, server: str, word: str) -> None:
        body = json.loads(self.request.body)
        launch_id = body["launch_id"]
        self.book.notes += body.get("notes", ())
        if body.get("note"):
            self.book.reasons.append(str(message_of(body["note"])))
        if body.get("served"):
            self.book.served.append(launch_id)
        if word == "placed":
            self.book.placed.append((launch_id, body["node"]))
        elif word in ("held", "released"):
            (self.book.held if word == "held" else self.book.released).append(launch_id)
        self.write({"short": None} if word == "short" else {})


def serve(book: Book) -> HTTPServer:
    """Serve on the port that the settings name."""
    place = rf"{book.settings.service_prefix}api/v1/reservations/([^/]+)/([^/]+)"
    application = Application(
        [
            (place, _Reservations, {"book": book}),
            (rf"{place}/(placed|short|held|released)", _Reservations, {"book": book}),
        ]
    )
    server = HTTPServer(application)
    server.add_sockets(bind_sockets(book.settings.service_port, "127.0.0.1"))
    return server
