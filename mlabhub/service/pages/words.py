"""Small sentences that several pages share."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Protocol

from mlabhub.core.images import ImageChoice
from mlabhub.core.names import SAVED_PREFIX
from mlabhub.core.network import Egress, NetworkSpec
from mlabhub.core.options import NumberOption
from mlabhub.core.profiles import Profile
from mlabhub.core.units import format_bytes, format_cpu, format_gib, format_gpu_type, format_gpus, format_number
from mlabhub.i18n import N_, Translator, join_sentences
from mlabhub.service.views import CatalogView, PlaceView, StorageView


class Named(Protocol):
    """What has a server's name; the default server has none."""

    @property
    def server_name(self) -> str:
        """The hub's name."""

    @property
    def display_name(self) -> str:
        """What its owner typed."""


def server_title(t: Translator, server: Named) -> str:
    """Return what a server is called on pages: what its owner typed, else the hub's name for it."""
    return server.display_name or server.server_name or t(N_("Default server"))


def list_text(t: Translator, parts: Iterable[str]) -> str:
    """Return what there is of some parts, one after the other as the language does it."""
    return t(N_(", ")).join(part for part in parts if part)


def size_text(cpu: float | None, memory_gib: float | None, gpus: str) -> str:
    """Return a size in one line, ``4 CPU · 16 GiB · 2 A100``; what is not known is left out."""
    parts = [
        format_cpu(cpu) if cpu is not None else "",
        format_gib(memory_gib) if memory_gib is not None else "",
        gpus,
    ]
    return " · ".join(part for part in parts if part)


def gpus_text(t: Translator, count: int, gpu_type: str | None, simulated: bool) -> str:
    """Return a number of GPUs, marked where they are simulated; nothing for none."""
    if not count:
        return ""
    return mark_simulated(t, format_gpus(count, gpu_type), simulated)


def mark_simulated(t: Translator, text: str, simulated: bool) -> str:
    """Return the text about GPUs, with a mark if they are simulated."""
    return t(N_("{gpus} (simulated)"), gpus=text) if simulated else text


def range_text(t: Translator, profile: Profile, gpu_types: tuple[str, ...], simulated: bool) -> str:
    """Return between which sizes a profile lets one choose: ``2–16 CPU · 4–64 GiB · 1–4 A100 / T4``."""
    parts = [f"{_range(profile.cpu)} CPU", f"{_range(profile.memory_gib)} GiB"]
    if profile.gpus.max:
        names = " / ".join(format_gpu_type(gpu_type) for gpu_type in gpu_types) or format_gpu_type(None)
        parts.append(mark_simulated(t, f"{_range(profile.gpus)} {names}", simulated))
    return " · ".join(parts)


def _range(option: NumberOption) -> str:
    low, high = format_number(option.min), format_number(option.max)
    return low if option.fixed else f"{low}–{high}"


def folder_text(t: Translator, folder: PlaceView | StorageView) -> str:
    """Return a folder's path and what is special about it: ``/mnt/fast (Fast disk; not protected)``."""
    remarks = [folder.display_name] if folder.display_name else []
    if folder.read_only:
        remarks.append(t(N_("read-only")))
    if folder.tier == "scratch":
        remarks.append(t(N_("not protected against loss")))
    if not remarks:
        return folder.target
    return t(N_("{folder} ({remarks})"), folder=folder.target, remarks=t(N_("; ")).join(remarks))


def room_text(t: Translator, folder: StorageView) -> str:
    """Return how much room a folder has; what is not known is said to be unknown."""
    if folder.total_bytes is None or folder.free_bytes is None:
        return t(N_("free space unknown"))
    return t(N_("{free} of {total} free"), free=format_bytes(folder.free_bytes), total=format_bytes(folder.total_bytes))


def purpose_text(t: Translator, profile: Profile) -> str:
    """Return what a profile is meant for."""
    purposes = {"development": N_("For development"), "training": N_("For training")}
    return t(purposes[profile.purpose]) if profile.purpose else ""


TOOLS = {
    "lab": "JupyterLab",
    "terminal": N_("terminal"),
    "vscode": "VS Code",
    "desktop": N_("desktop"),
    "tensorboard": "TensorBoard",
    "ssh": "ssh",
}


TOOL_TITLES = {**TOOLS, "terminal": N_("Terminal"), "desktop": N_("Desktop")}
TOOL_ICONS = {
    "lab": "fa-book",
    "vscode": "fa-code",
    "desktop": "fa-desktop",
    "tensorboard": "fa-chart-line",
    "terminal": "fa-terminal",
}


def tool_title(t: Translator, tool: str) -> str:
    """Return what a tool is called where it stands alone."""
    return t(TOOL_TITLES[tool])


def image_title(view: CatalogView, image: str) -> str:
    """Return what an image is called on pages: one of the catalogue, one's own saved one, or a typed one."""
    names = {one.slug: one.display_name for one in (*view.images, *view.kept_images.values())}
    return names.get(image, image.removeprefix(SAVED_PREFIX))


def image_text(image: ImageChoice) -> str:
    """Return an image's name, with the release where the name does not say it."""
    release = image.release or ""
    return image.display_name if release in image.display_name else f"{image.display_name} {release}"


def image_note(t: Translator, image: ImageChoice, allowed: Collection[str] | None = None) -> str:
    """Say what is in an image, and what a profile that allows these tools (None: all) opens in it."""
    tools = list_text(t, (t(TOOLS[tool]) for tool in image.tools if allowed is None or tool in allowed))
    parts = [image.description, t(N_("You can open: {tools}."), tools=tools) if tools else ""]
    return join_sentences(parts)


def network_text(t: Translator, egress: Egress, network: NetworkSpec | None) -> str:
    """Say what servers reach outside; nothing where nobody keeps them from anything."""
    if network is None:
        return ""
    if egress == "open":
        return t(N_("The Internet can be reached from it."))
    if egress == "closed":
        return t(N_("No network can be reached from it: files come in through the airlock."))
    opened = list_text(t, dict.fromkeys(one.description or "" for one in network.lab))
    if opened:
        return t(N_("Only this can be reached from it: {opened}."), opened=opened)
    if network.lab:
        return t(N_("Only what the lab has opened can be reached from it, not the Internet."))
    return t(N_("No network can be reached from it: the lab has not opened anything."))


def held_text(t: Translator, user: str | None, server: str | None) -> str:
    """Say who holds something, as far as the reader may know."""
    if user is None:
        return t(N_("held by somebody"))
    return (
        t(N_("held by {user} ({server})"), user=user, server=server) if server else t(N_("held by {user}"), user=user)
    )
