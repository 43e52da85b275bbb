"""Load the configuration folder: its files, checked one by one and against each other.

Guarantees: all faults of all files are reported together, in the files' order; a `Catalog` is returned only if there is
none. ``profiles.yaml`` must be there; for each other file that is not, a note says what holds instead. The file of
notifications is not a part of the catalogue: `notifications` reads it, for whoever sends messages.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from mlabhub.catalog.faults import Fault, InvalidCatalog
from mlabhub.catalog.notes import notes_on
from mlabhub.catalog.notifications import FILE as NOTIFICATIONS_FILE
from mlabhub.catalog.validate import AnyModel, validated
from mlabhub.catalog.yaml_file import Document, parse_document, read_document
from mlabhub.core.cross_references import cluster_faults, cross_faults, idle_faults
from mlabhub.core.gpu_types import GpuTypeSpec, gpu_type_faults
from mlabhub.core.idle.file import Idle
from mlabhub.core.images import ImageChoice, ImageSpec
from mlabhub.core.kubernetes import KubernetesSpec
from mlabhub.core.profiles import Catalog, GroupDefault, Profile, ProfileSpec
from mlabhub.core.quotas import Quotas
from mlabhub.core.quote import quote_all
from mlabhub.core.schema import GpuType, Model, Slug, Text, key_faults
from mlabhub.core.storage import Storage
from mlabhub.messages import N_, Message

BASE_IMAGE = ImageSpec(
    display_name="Base",
    reference="localhost/mlabhub/base:latest",
    tools=("lab", "terminal", "vscode", "tensorboard"),
)


class ProfilesFile(Model):
    """``profiles.yaml``."""

    profiles: dict[Slug, ProfileSpec] = Field(
        min_length=1,
        description="Profiles by slug, in the order of the page.",
        json_schema_extra={"additionalProperties": False},
    )
    gpu_types: dict[GpuType, GpuTypeSpec] = Field(
        default_factory=dict,
        description="Types of GPUs by slug: what they are called, how they are recognised, how dear they are.",
        json_schema_extra={"additionalProperties": False},
    )
    group_defaults: dict[Text, GroupDefault] = Field(
        default_factory=dict,
        description="What the form opens on, by group of the hub: the first of a person's groups that has an entry; "
        "`default` is for the others. Without one: the first profile that takes no GPU.",
    )

    @model_validator(mode="after")
    def _is_sound(self) -> ProfilesFile:
        faults = list(gpu_type_faults(self.gpu_types))
        if faults:
            raise key_faults(faults)
        return self


class ImagesFile(Model):
    """``images.yaml``."""

    images: dict[Slug, ImageSpec] = Field(
        min_length=1, description="Images by slug.", json_schema_extra={"additionalProperties": False}
    )


FILES: Mapping[str, type[Model]] = {
    "profiles.yaml": ProfilesFile,
    "images.yaml": ImagesFile,
    "quotas.yaml": Quotas,
    "storage.yaml": Storage,
    "kubernetes.yaml": KubernetesSpec,
    "idle.yaml": Idle,
}

_INSTEAD = {
    "images.yaml": N_("{file} is absent: there is one image, base ({reference})."),
    "quotas.yaml": N_("{file} is absent: nobody is limited."),
    "storage.yaml": N_("{file} is absent: home and shared folders are in the state folder."),
}


@dataclass(frozen=True)
class Loaded:
    """What a folder says: a catalogue, or faults; notes on what was taken for granted."""

    catalog: Catalog | None
    faults: tuple[Fault, ...]
    notes: tuple[Message, ...]


def default_directory() -> Path:
    """Return the folder that is shipped beside the package."""
    return Path(__file__).resolve().parents[2] / "spawner_profiles"


def load_catalog(directory: Path | str) -> Catalog:
    """Return the folder's catalogue.

    Raises
    ------
    InvalidCatalog
        With every fault of the folder.
    """
    loaded = read_folder(directory)
    if loaded.catalog is None:
        raise InvalidCatalog(Path(directory), loaded.faults)
    return loaded.catalog


def load_quotas(file: Path | str) -> Quotas:
    """Return the quotas of one file, YAML or JSON, wherever it is. Raises as `load_idle` does."""
    return _load(file, Quotas)


def load_idle(file: Path | str) -> Idle:
    """Return what one file, YAML or JSON, says of idleness, wherever it is.

    Raises
    ------
    InvalidCatalog
        With every fault of the file.
    """
    return _load(file, Idle)


def read_idle(text: str) -> Idle:
    """Return what the text of an ``idle.yaml`` says, which need not be a file yet. Raises as `load_idle` does."""
    return _checked(parse_document(Document(Path("idle.yaml")), text), Idle)


def _load(file: Path | str, model: type[AnyModel]) -> AnyModel:
    return _checked(read_document(Path(file)), model)


def _checked(document: Document, model: type[AnyModel]) -> AnyModel:
    found = validated(document, model)
    if found is None:
        raise InvalidCatalog(document.file, document.faults)
    return found


def read_folder(directory: Path | str) -> Loaded:
    """Read and check a folder; faults are returned, not raised."""
    folder = Path(directory)
    strays = _stray_faults(folder)
    if strays is None:
        message = Message(N_("is not a folder that can be read; name the one that has profiles.yaml"))
        return Loaded(None, (Fault(folder, 1, (), message),), ())
    documents = {name: read_document(folder / name) for name in FILES if _is_there(folder / name)}
    models = {name: validated(document, FILES[name]) for name, document in documents.items()}
    faults = list(strays)
    if "profiles.yaml" not in documents:
        message = Message(N_("is missing; copy the one that comes with mlabhub and change it"))
        faults.append(Fault(folder / "profiles.yaml", 1, (), message))
    _check_references(documents)
    for document in documents.values():
        faults += sorted(document.faults, key=lambda fault: fault.line)
    notes = [
        Message.of(text, file=folder / name, reference=BASE_IMAGE.reference)
        for name, text in _INSTEAD.items()
        if name not in documents
    ]
    if faults:
        return Loaded(None, tuple(faults), tuple(notes))
    catalog = _assemble(models)
    for note in notes_on(catalog):
        line = documents[note.file].line_of(note.path) if note.file in documents else 1
        notes.append(Fault(folder / note.file, line, note.path, note.message).line_text)
    return Loaded(catalog, (), tuple(notes))


def _is_there(file: Path) -> bool:
    return file.exists() or file.is_symlink()


def _looks_read(name: str) -> bool:
    """Whether somebody would expect a file of this name to be read: all YAML, and ``quotas.json`` for quotas.yaml."""
    stem, _, suffix = name.lower().rpartition(".")
    if not stem or stem.startswith("."):
        return False
    return suffix in ("yaml", "yml") or (suffix == "json" and f"{stem}.yaml" in FILES)


def _stray_faults(folder: Path) -> list[Fault] | None:
    """Blame files that look like configuration and would be ignored; None if the folder cannot be listed."""
    faults = []
    try:
        files = sorted(folder.iterdir())
    except OSError:
        return None
    for file in files:
        if _looks_read(file.name) and file.name not in FILES and file.name != NOTIFICATIONS_FILE:
            known = quote_all([*FILES, NOTIFICATIONS_FILE])
            message = Message.of(N_("is not read by this version; remove or rename it. It reads: {known}"), known=known)
            faults.append(Fault(file, 1, (), message))
    return faults


def _check_references(documents: Mapping[str, Document]) -> None:
    """Blame references that lead nowhere; works on what was read, valid or not."""
    profiles, images = documents.get("profiles.yaml"), documents.get("images.yaml")
    if profiles is None:
        return
    cluster = documents.get("kubernetes.yaml")
    there = _mapping(profiles.data, "profiles")
    if cluster is not None and there is not None:
        for slug, message in cluster_faults(_mapping(cluster.data, "profiles") or {}, there):
            cluster.blame(("profiles", slug), message)
    idle = documents.get("idle.yaml")
    if idle is not None and there is not None:
        rules = idle.data.get("rules") if isinstance(idle.data, dict) else None
        for path, message in idle_faults(rules, there):
            idle.blame(("rules", *path), message)
    known = {"base": BASE_IMAGE} if images is None else _mapping(images.data, "images")
    if known is None:
        return
    defaults = _mapping(profiles.data, "group_defaults") or {}
    for fault in cross_faults(_mapping(profiles.data, "profiles") or {}, known, defaults):
        document = images if fault.part == "images" else profiles
        if document is not None:
            document.blame((fault.part, *fault.path), fault.message)


def _mapping(data: object, key: str) -> dict[str, Any] | None:
    value = data.get(key) if isinstance(data, dict) else None
    return value if isinstance(value, dict) else None


def _assemble(models: Mapping[str, Any]) -> Catalog:
    images = models["images.yaml"].images if "images.yaml" in models else {"base": BASE_IMAGE}
    file: ProfilesFile = models["profiles.yaml"]
    return Catalog(
        profiles=tuple(Profile(slug=slug, **dict(spec)) for slug, spec in file.profiles.items()),
        gpu_types=file.gpu_types,
        group_defaults=file.group_defaults,
        images=tuple(ImageChoice(slug=slug, **dict(spec)) for slug, spec in images.items()),
        quotas=models.get("quotas.yaml", Quotas()),
        storage=models.get("storage.yaml", Storage()),
        kubernetes=models.get("kubernetes.yaml", KubernetesSpec()),
        idle=models.get("idle.yaml", Idle()),
    )
