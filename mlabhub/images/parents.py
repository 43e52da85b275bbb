"""The parent of an image: from the engine, from a registry, or made from the distribution's packages.

Guarantees: a registry that does not answer costs seconds, not minutes; what is made has the distribution's own apt
sources, whatever mirror it was made from, and no name, resolver or setting of this machine.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path

from mlabhub.errors import EngineUnavailable
from mlabhub.images.program import FirstWords, ImageError, Program, Report, run_reporting
from mlabhub.images.recipes import PREFIX
from mlabhub.images.site import read_apt, read_ca
from mlabhub.site import apt, load_site

RELEASES = {
    "debian:12": "bookworm",
    "debian:13": "trixie",
    "ubuntu:22.04": "jammy",
    "ubuntu:24.04": "noble",
}
CA = "ca.pem"
REGISTRY_ANSWERS = FirstWords(r"Getting image source|Copying|Pulling (from|fs)|Already exists", seconds=20)
OWN_SOURCES = (
    'rm -f "$1"/etc/apt/apt.conf.d/99mmdebstrap "$1"/etc/hostname "$1"/etc/resolv.conf "$1"/etc/apt/sources.list',
    'cp "$1"/usr/share/doc/apt/examples/*sources* "$1"/etc/apt/',
    'for file in "$1"/etc/apt/*.sources; do test ! -e "$file" || mv "$file" "$1"/etc/apt/sources.list.d/; done',
    'rm -rf "$1"/usr/share/doc/apt/examples',
)
"""What mmdebstrap does last: apt's own example of its sources takes the place of this machine's."""


def find_parent(program: Program, reference: str, report: Report) -> str:
    """Return what the engine has for ``reference``: itself, or an image made in its place. Raises `ImageError`."""
    made = make_name(reference)
    for name in (reference, made):
        if program.inspect(name):
            return name
    report(f"Asking for {reference}")
    try:
        program.run("pull", reference, report=report, first_words=REGISTRY_ANSWERS)
    except ImageError as error:
        report(f"No registry: {error}")
        make_parent(program, reference, report)
        return made
    return reference


def make_name(reference: str) -> str:
    """Return the name of an image made in place of one of a registry."""
    return f"{PREFIX}parent/{_short(reference)}"


def make_parent(program: Program, reference: str, report: Report) -> None:
    """Make a minimal system from the distribution's packages and give it to the engine."""
    ours = load_site()
    site = read_apt(ours)
    if _short(reference) not in RELEASES or site is None:
        raise ImageError(
            f"{reference} could not be fetched: no registry answers, and only Debian and Ubuntu can be made from "
            f"packages. Load it from a file with `{program.engine.kind} load`, or give the engine a registry's mirror."
        )
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="mlabhub-parent-") as folder:
        archive = Path(folder) / "root.tar"
        Path(folder).chmod(0o711)  # apt fetches as another user, who needs the certificates
        Path(folder, CA).write_bytes(read_ca(os.environ, company=ours.ca_file))
        release, sources = choose_release(reference, site)
        command = make_command(release, sources, site.settings, Path(folder), archive)
        report(f"Making {release} from {site.distribution}'s packages")
        run_reporting(command, report=report)
        program.run("import", "--change", 'CMD ["bash"]', str(archive), make_name(reference), report=report)


def choose_release(reference: str, site: apt.AptSite) -> tuple[str, tuple[apt.Source, ...]]:
    """Return the release to make and its sources: the one asked for, or this machine's where only that can be had."""
    wanted = RELEASES[_short(reference)]
    if site.distribution == "debian" and _short(reference).startswith("debian:"):
        return wanted, apt.for_release(site.sources, site.release, wanted)
    return site.release, site.sources


def make_command(
    release: str, sources: tuple[apt.Source, ...], settings: tuple[str, ...], folder: Path, archive: Path
) -> list[str]:
    """Return the call of mmdebstrap; the files it reads are written into ``folder``. Raises `EngineUnavailable`."""
    tool = shutil.which("mmdebstrap")
    if tool is None:
        raise EngineUnavailable(
            "No registry answers, and mmdebstrap, which makes images without one, is missing: "
            "`apt-get install mmdebstrap`."
        )
    options = folder / "apt.conf"
    options.touch(mode=0o600)
    options.write_text("".join(f"{line}\n" for line in [*settings, f'Acquire::https::CaInfo "{folder / CA}";']))
    command = [tool, "--quiet", "--variant=minbase", "--include=ca-certificates", f"--aptopt={options}"]
    for rule in ("exclude=/usr/share/man/*", "exclude=/usr/share/doc/*", "include=/usr/share/doc/*/copyright"):
        command.append(f"--dpkgopt=path-{rule}")
    command.append("--dpkgopt=path-include=/usr/share/doc/apt/examples/*")
    command += [f"--customize-hook={hook}" for hook in OWN_SOURCES]
    command += [release, str(archive)]
    if sources:
        mirrors = folder / "sources.list"
        mirrors.touch(mode=0o600)
        mirrors.write_text(apt.format_sources(sources))
        command.append(str(mirrors))
    return command


def _short(reference: str) -> str:
    """Return ``debian:12`` for ``docker.io/library/debian:12``."""
    return re.sub(r"^(docker\.io/)?(library/)?", "", reference)
