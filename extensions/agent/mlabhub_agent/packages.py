"""Which packages a server has that its image had not.

Our images carry the lists that they were made from (``/opt/mlabhub/*.lock``), so that Python's packages can be
compared without asking pip; and they leave no log of dpkg's behind, so that what stands there was done since.

Guarantees: only files are read; what cannot be compared is said to be so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

IMAGE = Path("/opt/mlabhub")
VENV = Path("/opt/venv")
DPKG_LOG = Path("/var/log/dpkg.log")
OF_THE_IMAGE = {"pip", "setuptools", "wheel", "mlabhub-agent", "mlabhub-lab", "mlabhub-proxies"}
"""What images have that stands in no list."""
TAKEN_OUT = {"rfc3987-syntax"}
"""What stands in a list, and is taken out again as the image is made."""
_PINNED = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s;\\]+)\s*(;?)", re.MULTILINE)
_DONE = re.compile(r"^(\S+ \S+) (install|upgrade|remove|purge) (\S+) (\S+) (\S+)$", re.MULTILINE)


def package_lines(
    image: Path = IMAGE, venv: Path = VENV, home: Path | None = None, dpkg_log: Path = DPKG_LOG
) -> Iterator[str]:
    """Yield what was installed, changed and removed since the image."""
    yield "# Python packages that the image does not have like this"
    pinned = read_locks(image)
    if pinned:
        installed = dict(installed_in(venv.glob("lib/python3*/site-packages")))
        yield from compare(pinned, required(image), installed) or ("none",)
    else:
        yield "Not known: the image brought no list of its packages."
    yield "# Python packages in the home, which all of your servers have"
    own = (home or Path.home()) / ".local/lib"
    yield from [f"{name}=={version}" for name, version in sorted(installed_in(own.glob("python3*/site-packages")))] or (
        "none",
    )
    yield "# Packages of the distribution since the image"
    yield from list(changed_by_dpkg(dpkg_log)) or ("none",)


def normal(name: str) -> str:
    """Return a project's name as all tools write it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def read_locks(image: Path) -> dict[str, set[str]]:
    """Return the versions that an image's lists have of each project."""
    pinned: dict[str, set[str]] = {}
    for file in (*image.glob("*.lock"), *image.glob("*/*.lock")):
        for name, version, _ in _PINNED.findall(file.read_text("utf-8", "replace")):
            pinned.setdefault(normal(name), set()).add(version)
    return pinned


def required(image: Path) -> set[str]:
    """Return the projects that every one of our images has, whatever its Python and accelerator."""
    base = image / "base.lock"
    text = base.read_text("utf-8", "replace") if base.is_file() else ""
    return {normal(name) for name, _, marker in _PINNED.findall(text) if not marker} - TAKEN_OUT


def installed_in(folders: Iterable[Path]) -> Iterator[tuple[str, str]]:
    """Yield the projects of some folders and their versions, by the names of the folders that pip makes for them."""
    for folder in folders:
        for found in folder.glob("*.dist-info"):
            name, _, version = found.name.removesuffix(".dist-info").rpartition("-")
            if name:
                yield normal(name), version


def compare(pinned: Mapping[str, set[str]], required: set[str], installed: Mapping[str, str]) -> list[str]:
    """Return what is another one than in the lists; a version's build, as of ``1.0+cpu``, does not count."""
    lines = []
    for name, version in sorted(installed.items()):
        expected = pinned.get(name)
        if expected is None and name not in OF_THE_IMAGE:
            lines.append(f"{name}=={version}")
        elif expected is not None and version.partition("+")[0] not in {one.partition("+")[0] for one in expected}:
            lines.append(f"{name}=={version} (the image has {', '.join(sorted(expected))})")
    return lines + [f"{name} was removed" for name in sorted(required - set(installed))]


def changed_by_dpkg(log: Path) -> Iterator[str]:
    """Yield what was installed, upgraded and removed."""
    try:
        text = log.read_text("utf-8", "replace")
    except FileNotFoundError:
        return
    for at, what, package, before, after in _DONE.findall(text):
        yield f"{at} {what} {package} {before} -> {after}"
