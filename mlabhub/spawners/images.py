"""Which image a start begins from: the catalogue's, one's own, a typed one, or what was saved on top of it.

Guarantees: an image that a person typed in never starts by an entry of its own, whatever it says about itself, nor
with a link where something is mounted for its server; a saved image is its owner's.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mlabhub.core.plan import LaunchPlan
from mlabhub.engine import EngineApi
from mlabhub.engine.origin import Origin, WantedImage, find_origin
from mlabhub.engine.own import OwnImages
from mlabhub.engine.runtime import REFERENCE, Runtime, places_to_check
from mlabhub.engine.saved import SavedLayers
from mlabhub.errors import LaunchRefused
from mlabhub.messages import N_, Message

MOST_CHECKED = 256


@dataclass(frozen=True)
class StartImage:
    """The image of one start. ``runtime`` is the folder with what it lacks, empty if it brings all."""

    origin: Origin
    runtime: str


@dataclass(frozen=True)
class ImageSource:
    """Where the images of one installation are."""

    api: EngineApi
    saved: SavedLayers
    own: OwnImages
    runtime: Runtime
    checked: dict[tuple[str, frozenset[str]], tuple[str, ...]] = field(default_factory=dict)
    """What was found in images that were looked into."""

    async def choose(self, plan: LaunchPlan) -> StartImage:
        """Return what to start from. Raises `LaunchRefused` if it is not here, or not fit."""
        wanted = WantedImage(plan.user, plan.server_name, plan.image, plan.image_reference, plan.image_kind)
        origin = await find_origin(wanted, self.api, self.saved, self.own)
        if origin is None:
            raise missing(plan)
        chosen = StartImage(origin, await self._added(origin.outside))
        if chosen.runtime:
            await self._check_links(plan, origin.image)
        return chosen

    async def _check_links(self, plan: LaunchPlan, reference: str) -> None:
        """Refuse an image whose links would lead astray what is mounted for its server."""
        image = await self.api.image(reference)
        if image is None:
            raise missing(plan)
        key = image.id, places_to_check(mount.target for mount in plan.mounts)
        if key not in self.checked:
            links = await self.api.image_links(f"sha256:{image.id}", sorted(key[1]))
            if len(self.checked) >= MOST_CHECKED:
                self.checked.clear()
            self.checked[key] = links
        if self.checked[key]:
            raise LaunchRefused(
                Message.of(
                    N_(
                        "The image {image} has a link at {path}, where its server would have something mounted, so it "
                        "is not started. Choose another image."
                    ),
                    image=plan.image,
                    path=self.checked[key][0],
                ),
                code="image_has_link",
            )

    async def _added(self, outside: bool) -> str:
        if not outside:
            return ""
        folder = await self.runtime.ensure()
        if folder is None:
            raise LaunchRefused(
                Message.of(
                    N_(
                        "What this image lacks is not on this machine ({reference}). "
                        "An administrator can build it: `mlabhub image build runtime`."
                    ),
                    reference=REFERENCE,
                ),
                code="image_missing",
            )
        return str(folder)


def missing(plan: LaunchPlan) -> LaunchRefused:
    """Return the refusal of an image that is not on this machine."""
    if plan.image_kind == "saved":
        template = N_("You have no saved image {image} any more. Choose another one.")
        return LaunchRefused(Message.of(template, image=plan.image), code="image_missing")
    return LaunchRefused(
        Message.of(
            N_(
                "The image {image} ({reference}) is not on this machine (any more). Start again, which fetches it; "
                "if that fails, tell an administrator: `mlabhub image list` shows what is here."
            ),
            image=plan.image,
            reference=plan.image_reference,
        ),
        code="image_missing",
    )
