"""A launcher in memory: the real catalogue, gate and admission, without hub, ledger or engine."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import timezone
from typing import Any

from mlabhub.core.admission import Capacity, Gpu, Holdings, Node, Viewer, decide
from mlabhub.core.idle.policy import Policy
from mlabhub.core.profiles import Catalog, LaunchRequest
from mlabhub.core.resolve import resolve
from mlabhub.core.tools import WORKBENCH
from mlabhub.errors import LaunchRefused, MLabError, NotFound
from mlabhub.ledger import Reservation
from mlabhub.ledger.records import Contents
from mlabhub.messages import Message
from mlabhub.service.listing import catalog_view, tool_url
from mlabhub.service.previews import Scene, make_preview
from mlabhub.service.projection import Projection
from mlabhub.service.views import (
    CatalogView,
    LaunchAnswer,
    LaunchStatus,
    PastLaunch,
    Person,
    Preview,
    SavedImageView,
    ServerView,
    Step,
    StorageView,
)
from mlabhub.service.wait_views import Queued
from tests.pages.queue import MemoryQueue

HOSTILE = "<img src=x onerror=alert(1)></script><script>alert(2)</script>"

CATALOG = Catalog.model_validate(
    {
        "images": [
            {"slug": "base", "display_name": "Base (Python 3.11)", "reference": "localhost/mlabhub/base:1"},
            {
                "slug": "pytorch",
                "display_name": "PyTorch 2.9",
                "description": "PyTorch with CUDA.",
                "reference": "localhost/mlabhub/pytorch:1",
                "framework": "PyTorch",
                "release": "2.9",
                "tools": ["lab", "vscode"],
            },
            {
                "slug": "tensorflow",
                "display_name": "TensorFlow",
                "reference": "localhost/mlabhub/tensorflow:1",
                "framework": "TensorFlow",
                "release": "2.20",
                "tools": ["lab", "tensorboard"],
            },
            {
                "slug": "old",
                "display_name": "PyTorch 1.13",
                "reference": "localhost/mlabhub/old:1",
                "retired": {"successor": "pytorch", "hint": "It has no security fixes any more."},
            },
            {"slug": "secret", "display_name": "Secret", "reference": "localhost/mlabhub/secret:1", "hidden": True},
        ],
        "profiles": [
            {
                "slug": "cpu",
                "display_name": "CPU workbench",
                "description": "Notebooks, data preparation, plots.",
                "images": ["base", "pytorch"],
                "cpu": {"min": 1, "max": 16, "default": 4},
                "memory_gib": {"min": 2, "max": 64, "default": 8, "step": 2},
            },
            {
                "slug": "gpu",
                "display_name": "GPU",
                "description": "Training and inference.",
                "images": ["pytorch", "base"],
                "cpu": {"choices": [4, 8, 16], "default": 8},
                "memory_gib": {"min": 8, "max": 128, "default": 32, "step": 8},
                "gpus": {"choices": [1, 2, 4, 8], "default": 1},
                "gpu_types": ["any"],
                "shm_gib": {"min": 1, "max": 32, "default": 8},
                "choose_gpu": True,
            },
            {
                "slug": "all",
                "display_name": "Everything to choose",
                "groups": ["nlp"],
                "purpose": "training",
                "images": ["base", "pytorch", "tensorflow", "old", "secret"],
                "cpu": 4,
                "memory_gib": 8,
                "gpus": [1, 2],
                "gpu_types": ["a100", "t4"],
                "choose_gpu": True,
                "own_images": True,
                "typed_images": [{"registry": "master0:5000", "repository": "eflops/*"}],
                "options": {
                    "workers": {
                        "display_name": "Loader workers",
                        "variable": "WORKERS",
                        "min": 0,
                        "max": 16,
                        "default": 4,
                    },
                    "precision": {
                        "display_name": "Precision",
                        "variable": "PRECISION",
                        "choices": {"fp32": "Full", "bf16": "bfloat16"},
                    },
                },
                "mounts": True,
            },
            {
                "slug": "vision-only",
                "display_name": "Vision's own",
                "groups": ["vision"],
                "images": ["base"],
                "cpu": 2,
                "memory_gib": 4,
            },
            {
                "slug": "board",
                "display_name": "TensorBoard",
                "groups": ["vision", "nlp"],
                "kind": "tensorboard",
                "images": ["tensorflow"],
                "cpu": 1,
                "memory_gib": 2,
            },
        ],
        "gpu_types": {"a100": {"display_name": "A100 80 GB", "cost": 10}, "t4": {"cost": 1}},
        "storage": {
            "shares": {
                "fast": {"display_name": "Fast disk", "source": "/ssd", "target": "/mnt/fast", "tier": "scratch"},
                "imagenet": {
                    "display_name": "ImageNet",
                    "source": "/srv/nas/imagenet",
                    "target": "/mnt/data/imagenet",
                    "groups": ["nlp"],
                    "read_only": True,
                    "tier": "scratch",
                },
            },
            "mount_prefixes": ["/data", "/workspace"],
        },
        "quotas": {
            "groups": {"vision": {"guaranteed": {"gpu": 4}, "limit": {"gpu": 6}}},
            "users": {"default": {"gpu": 4, "servers": 5}},
        },
    }
)


def make_capacity() -> Capacity:
    """Return one machine with 4 A100 and 4 T4, simulated."""
    gpus = tuple(
        Gpu(f"GPU-sim-{kind}-{number}", kind, "n1", kind.upper(), 40.0, simulated=True)
        for kind in ("a100", "t4")
        for number in range(4)
    )
    return Capacity((Node("n1", 64, 512, gpus),))


class MemoryLauncher:
    """The methods that the pages call, over dictionaries. ``groups`` are the hub's."""

    def __init__(self, groups: dict[str, tuple[str, ...]]) -> None:
        self.groups = groups
        self.capacity = make_capacity()
        self.projection = Projection(Contents((), {}, (), ()))
        self.views: dict[tuple[str, str], ServerView] = {}
        self.statuses: dict[str, LaunchStatus] = {}
        self.keys: dict[tuple[str, str], LaunchAnswer] = {}
        self.calls: list[tuple[Any, ...]] = []
        self.saved: dict[str, list[SavedImageView]] = {}
        self.past: dict[str, list[PastLaunch]] = {}
        self.down: MLabError | None = None
        self.faults: tuple[Message, ...] = ()
        self.before: tuple[Reservation, ...] = ()
        self.notes: tuple[Message, ...] = ()
        self.idle = CATALOG.idle
        self.waits = MemoryQueue(self)

    def catalog_faults(self, actor: Person) -> tuple[Message, ...]:
        """Return the faults that were set, to administrators."""
        return self.faults if actor.admin else ()

    def quota_notes(self, actor: Person) -> tuple[Message, ...]:
        """Return the notes that were set, to administrators."""
        return self.notes if actor.admin else ()

    async def launch(
        self,
        actor: Person,
        *,
        user: str,
        server_name: str,
        display_name: str,
        user_options: dict[str, Any],
        idempotency_key: str | None = None,
        queue: bool = False,
        launch_id: str = "",
    ) -> LaunchAnswer | Queued:
        """Admit, let it wait or refuse; the same key gives the same answer."""
        self._check()
        self.calls.append(("launch", actor.name, user, server_name, display_name, user_options))
        if idempotency_key and (known := self.keys.get((user, idempotency_key))):
            return known
        if (view := self.views.get((user, server_name))) and view.state != "stopped":
            raise LaunchRefused(Message.of("The server {name} is running already.", name=display_name or "-"))
        request = resolve(CATALOG, user, self.groups.get(user, ()), user_options, server_name)
        decision = decide(request, CATALOG.quotas, self.holdings, (), self.capacity, time.time())
        if decision.placement is None:
            if queue and not decision.never:
                return self.waits.wait(user, server_name, user_options, request.group)
            raise LaunchRefused(decision.reasons[0].message)
        launch_id = launch_id or f"01J{len(self.calls):023d}"
        self.hold(request, launch_id, decision.placement.gpus, decision.placement.gpu_type, display_name)
        if request.kind == WORKBENCH:
            self.past.setdefault(user, []).insert(0, PastLaunch(server_name, display_name, time.time(), user_options))
        answer = LaunchAnswer("starting", launch_id, f"starting/{launch_id}")
        if idempotency_key:
            self.keys[user, idempotency_key] = answer
        return answer

    def idle_policy(self, profile: str, group: str | None) -> Policy:
        """Return what the catalogue says, at noon."""
        return self.idle.policy_for(profile, group, 43200.0, timezone.utc)

    async def launch_safe(self, actor: Person, user: str, server_name: str) -> LaunchAnswer:
        """Start it as the least there is."""
        options = {"profile": "cpu", "safe": True}
        answer = await self.launch(
            actor, user=user, server_name=server_name, display_name=server_name, user_options=options
        )
        assert isinstance(answer, LaunchAnswer)
        self.views[user, server_name] = replace(self.views[user, server_name], safe=True)
        return answer

    def hold(
        self, request: LaunchRequest, launch_id: str, gpus: tuple[str, ...], gpu_type: str | None, display_name: str
    ) -> None:
        """Count a launch as starting."""
        now = time.time()
        self.projection.apply(
            Reservation(
                launch_id=launch_id,
                user=request.user,
                server=request.server_name,
                state="pending",
                created=now,
                changed=now,
                deadline=now + 300,
                display_name=display_name,
                group=request.group,
                profile=request.profile,
                image=request.image,
                gpu_type=gpu_type,
                gpus=gpus,
                node="n1",
                cpu=request.cpu,
                memory_gib=request.memory_gib,
                kind=request.kind,
            )
        )
        url = f"/user/{request.user}/{request.server_name}/"
        open_url = tool_url(url, request.tools[0]) if request.kind == WORKBENCH else url
        self.views[request.user, request.server_name] = ServerView(
            user=request.user,
            server_name=request.server_name,
            display_name=display_name,
            state="pending",
            profile=request.profile,
            image=request.image,
            group=request.group,
            gpu_type=gpu_type,
            gpus=request.gpus,
            cpu=request.cpu,
            memory_gib=request.memory_gib,
            since=time.time(),
            url=url,
            launch_id=launch_id,
            kind=request.kind,
            tools=request.tools,
            open_url=open_url,
        )
        steps = (
            Step(now - 1.4, Message.of("Admitted on {node}", node="n1"), True),
            Step(now, Message("Starting the container"), False),
        )
        self.statuses[launch_id] = LaunchStatus(
            launch_id,
            request.user,
            request.server_name,
            display_name,
            "starting",
            steps,
            url,
            kind=request.kind,
            open_url=open_url,
        )

    def finish(self, launch_id: str, failure: str | None = None) -> None:
        """Let a launch become ready, or fail."""
        status = self.statuses[launch_id]
        key = status.user, status.server_name
        if failure is None:
            steps = tuple(replace(step, done=True) for step in status.steps)
            self.statuses[launch_id] = replace(status, state="ready", steps=steps)
            self.views[key] = replace(self.views[key], state="running")
        else:
            self.statuses[launch_id] = replace(status, state="failed", failure=Message.of("{why}", why=failure))
            self.release(launch_id)
            self.views[key] = replace(self.views[key], state="stopped")

    def end(self, launch_id: str, why: Message) -> None:
        """Let a server end by itself."""
        status = self.statuses[launch_id]
        key = status.user, status.server_name
        self.release(launch_id)
        self.views[key] = replace(self.views[key], state="stopped", ended=why)

    async def path_in_server(self, user: str, path: str) -> str:
        """Return it as it is, as with containers."""
        return path

    def note(self, launch_id: str, note: Message) -> None:
        """Let something be said about a launch."""
        status = self.statuses[launch_id]
        key = status.user, status.server_name
        self.statuses[launch_id] = replace(status, notes=(note,))
        self.views[key] = replace(self.views[key], notes=(note,))

    async def previews(
        self, actor: Person, user: str, choices: Sequence[dict[str, Any]], server_name: str = "", *, nearest: int = 0
    ) -> tuple[Preview, ...]:
        """Decide without holding."""
        self._check()
        groups = self.groups.get(user, ())
        scene = Scene(CATALOG, user, groups, self.viewer(actor), self.holdings, (), self.capacity, time.time())
        return tuple(
            make_preview(scene, user_options, server_name, nearest=number < nearest)
            for number, user_options in enumerate(choices)
        )

    async def saved_images(self, user: str) -> tuple[SavedImageView, ...]:
        """Return what a user saved."""
        self._check()
        return tuple(self.saved.get(user, ()))

    async def past_launches(self, user: str) -> tuple[PastLaunch, ...]:
        """Return the last launch of each server."""
        self._check()
        newest: dict[str, PastLaunch] = {}
        for one in self.past.get(user, ()):
            newest.setdefault(one.server_name, one)
        return tuple(newest.values())

    async def launch_status(self, launch_id: str) -> LaunchStatus:
        """Return a launch's state."""
        self._check()
        if launch_id not in self.statuses:
            raise NotFound("There is no launch by this id.")
        return self.statuses[launch_id]

    async def earlier(self, one: Reservation) -> tuple[Reservation, ...]:
        """Return the launches before that were set."""
        return tuple(it for it in self.before if it.launch_id != one.launch_id)

    async def servers(self, user: str) -> tuple[ServerView, ...]:
        """Return a user's servers."""
        self._check()
        return tuple(view for (owner, _), view in self.views.items() if owner == user)

    async def storage(self, actor: Person, user: str) -> tuple[StorageView, ...]:
        """Return a user's folders: a home that is nearly full, and a fast disk that does not answer."""
        self._check()
        return (
            StorageView("user", f"/mnt/user/{user}", "", False, "protected", 2**40, 2**20, True),
            StorageView("fast", "/mnt/fast", HOSTILE, True, "scratch", None, None, None),
        )

    async def stop(self, actor: Person, user: str, server_name: str) -> None:
        """Stop a server."""
        self._check()
        self.calls.append(("stop", actor.name, user, server_name))
        view = self.views[user, server_name]
        self.views[user, server_name] = replace(view, state="stopped", has_saved=True, since=time.time())
        if view.launch_id:
            self.release(view.launch_id)

    async def reset(self, actor: Person, user: str, server_name: str) -> None:
        """Forget what was installed."""
        self._check()
        self.calls.append(("reset", actor.name, user, server_name))
        self.views[user, server_name] = replace(self.views[user, server_name], has_saved=False, newer_image=False)

    async def catalog_for(self, actor: Person) -> CatalogView:
        """Return what the launch page shows."""
        self._check()
        groups = self.groups.get(actor.name, ())
        person = replace(actor, groups=groups)
        return catalog_view(person, groups, CATALOG, self.capacity, self.projection, self.viewer(actor))

    def viewer(self, actor: Person) -> Viewer:
        """Return what a person may know."""
        return Viewer(actor.name, frozenset(self.groups.get(actor.name, ())), actor.admin, CATALOG.quotas.privacy)

    def check(self) -> None:
        """Raise what was set, as if a part were away."""
        self._check()

    @property
    def holdings(self) -> Holdings:
        """What is held."""
        return self.projection.holdings

    def release(self, launch_id: str) -> None:
        """Give back what a launch holds."""
        one = self.projection.launch(launch_id)
        if one is not None:
            self.projection.apply(replace(one, state="released", released=time.time()))

    def _check(self) -> None:
        if self.down is not None:
            raise self.down
