"""The larger fields of the launch form: images by framework, the very GPUs, and folders at places of one's choice.

Guarantees: pure; nothing is offered that the person may not have, and what cannot be had is said in words; what was
chosen before is shown again, also if it is not offered any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mlabhub.core.images import ImageChoice
from mlabhub.core.mounts import MOST_MOUNTS
from mlabhub.core.names import SAVED_PREFIX
from mlabhub.core.profiles import Profile
from mlabhub.core.reasons import sentences
from mlabhub.core.references import describe_allowed, parse_reference
from mlabhub.i18n import N_, Translator
from mlabhub.service.pages.choices import GPU_IDS, TYPED, TYPED_IMAGE, mount_rows
from mlabhub.service.pages.words import folder_text, held_text, image_text, list_text
from mlabhub.service.views import CatalogView, GpuView, NodeView, SavedImageView

MOST_GPUS = 256
EMPTY_ROWS = 2


@dataclass(frozen=True)
class ImageOption:
    """One image in the list."""

    value: str
    label: str
    selected: bool


@dataclass(frozen=True)
class ImageField:
    """The list of images, by groups with titles, and what may be typed in (nothing if ``allowed`` is empty)."""

    groups: tuple[tuple[str, tuple[ImageOption, ...]], ...]
    value: str
    allowed: str = ""
    typed: str = ""

    @property
    def count(self) -> int:
        """How many there are to choose from."""
        return sum(len(options) for _, options in self.groups)


@dataclass(frozen=True)
class GpuRow:
    """One GPU to tick: ``state`` is for the eye as well, ``text`` says it."""

    uuid: str
    type: str
    name: str
    state: str
    text: str
    chosen: bool


@dataclass(frozen=True)
class MountRow:
    """One line of the editor of mounts."""

    number: int
    share: str = ""
    subfolder: str = ""
    target: str = ""
    read_only: bool = False


@dataclass(frozen=True)
class MountsField:
    """The editor of mounts."""

    shares: tuple[tuple[str, str], ...]
    rows: tuple[MountRow, ...]
    prefixes: tuple[str, ...]
    used: bool
    most: int = MOST_MOUNTS


def image_field(
    profile: Profile,
    view: CatalogView,
    arguments: Mapping[str, str],
    t: Translator,
    saved: Iterable[SavedImageView] = (),
) -> ImageField:
    """Return the images that a profile offers; of a stopped server also the retired one that it had."""
    typed = arguments.get(TYPED_IMAGE, "")
    value = TYPED if typed else arguments.get("image") or view.default_images.get(profile.slug, "")
    by_slug = {image.slug: image for image in view.images}
    offered = [by_slug[slug] for slug in profile.images if slug in by_slug]
    groups: dict[str, list[tuple[str, str]]] = {}
    for image in offered:
        groups.setdefault(image.framework or "", []).append((image.slug, image_text(image)))
    kept = view.kept_images.get(arguments.get("server", ""))
    if kept is not None and kept.slug in profile.images:
        groups.setdefault(t(N_("Only for this server")), []).append((kept.slug, _retired_text(kept, t)))
    if profile.own_images:
        for one in saved:
            groups.setdefault(t(N_("Saved by you")), []).append((SAVED_PREFIX + one.name, _saved_text(one)))
    if profile.typed_images:
        groups.setdefault(t(N_("Another image")), []).append((TYPED, t(N_("Type in an image…"))))
    known = {slug for options in groups.values() for slug, _ in options}
    if value and value not in known:
        groups.setdefault(t(N_("Not offered")), []).append((value, value))
    value = value or next(iter(known), "")
    titled = len(groups) > 1
    return ImageField(
        groups=tuple(
            (
                (title or t(N_("Others"))) if titled else "",
                tuple(ImageOption(slug, label, selected=slug == value) for slug, label in options),
            )
            for title, options in groups.items()
        ),
        value=value,
        allowed=describe_allowed(profile.typed_images),
        typed=typed,
    )


def _saved_text(image: SavedImageView) -> str:
    return f"{image.name} ({image.of_image})" if image.of_image else image.name


def _retired_text(image: ImageChoice, t: Translator) -> str:
    return t(N_("{image} (retired)"), image=image_text(image))


def reference_text(image: str, t: Translator) -> str:
    """Say how a reference that was typed in is understood."""
    reference = parse_reference(image)
    if reference is None:
        return image
    parts = [
        t(N_("registry {registry}"), registry=reference.registry),
        t(N_("image {repository}"), repository=reference.repository),
        t(N_("tag {tag}"), tag=reference.tag) if reference.tag else "",
        t(N_("digest {digest}"), digest=reference.digest) if reference.digest else "",
    ]
    return list_text(t, parts)


def gpu_rows(profile: Profile, view: CatalogView, arguments: Mapping[str, str], t: Translator) -> tuple[GpuRow, ...]:
    """Return the GPUs of the profile's types, machine by machine; none where people may not choose, or cannot."""
    if not profile.choose_gpu or profile.gpus.max == 0:
        return ()
    chosen = frozenset(arguments.get(GPU_IDS, "").split(","))
    types = frozenset(profile.offered_gpu_types(view.gpu_types))
    offered = [
        (node, gpu)
        for node in view.nodes
        for gpu in node.gpus
        if gpu.type in types and not gpu.divided and not node.counted
    ]
    return tuple(_gpu_row(node, gpu, gpu.uuid in chosen, t) for node, gpu in offered[:MOST_GPUS])


def _gpu_row(node: NodeView, gpu: GpuView, chosen: bool, t: Translator) -> GpuRow:
    state, text = _gpu_state(gpu, t, node.schedulable)
    return GpuRow(gpu.uuid, gpu.type, _gpu_name(node.name, gpu, t), state, text, chosen)


def _gpu_name(node: str, gpu: GpuView, t: Translator) -> str:
    number = gpu.index if gpu.index is not None else gpu.uuid
    kind = gpu.type_name or gpu.type.upper()
    return t(N_("{node}, GPU {number}: {kind}"), node=node, number=str(number), kind=kind)


def _gpu_state(gpu: GpuView, t: Translator, schedulable: bool) -> tuple[str, str]:
    """Return what stands against handing a GPU out, the worst first."""
    health = t.say(sentences(gpu.health))
    if not gpu.healthy:
        return "sick", t(N_("not healthy: {health}"), health=health) if health else t(N_("not healthy"))
    if gpu.held:
        return "held", held_text(t, gpu.user, gpu.display_name or gpu.server_name)
    if gpu.busy is None:
        return "busy", t(N_("whether it is free cannot be told now"))
    if gpu.busy:
        return "busy", t(N_("used by something outside of this hub"))
    if not schedulable:
        return "busy", t(N_("its machine takes no new servers"))
    return "free", t(N_("free"))


def mounts_field(
    profile: Profile, view: CatalogView, arguments: Mapping[str, str], t: Translator
) -> MountsField | None:
    """Return the editor of mounts, with two empty rows; None where people may not choose."""
    if not profile.mounts or not view.mount_prefixes or not view.places:
        return None
    rows = [_row(n, said) for n, said in enumerate(mount_rows(arguments))]
    empty = [MountRow(n) for n in range(len(rows), min(len(rows) + EMPTY_ROWS, MOST_MOUNTS))]
    shares = tuple((place.share, folder_text(t, place)) for place in view.places)
    unknown = sorted({row.share for row in rows if row.share} - {share for share, _ in shares})
    return MountsField(
        shares=(*shares, *((share, share) for share in unknown)),
        rows=(*rows, *empty),
        prefixes=view.mount_prefixes,
        used=bool(rows),
    )


def _row(number: int, said: Mapping[str, str]) -> MountRow:
    texts = {key: said.get(key, "") for key in ("share", "subfolder", "target")}
    return MountRow(number, **texts, read_only="read_only" in said)


def chosen_image(images: Iterable[ImageChoice], value: str) -> ImageChoice | None:
    """Return the image of the catalogue that is chosen, if it is one."""
    return next((image for image in images if image.slug == value), None)
