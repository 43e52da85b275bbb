"""apt's sources: of this machine, for building images of the same distribution, and of the site's mirrors.

Guarantees: only the distribution's own sources are taken (component ``main``, a suite of this release): what a vendor's
repository brings does not belong into an image; where the machine is of another distribution the image keeps its own.
The site's mirrors take the place of the distribution's own sources alone, whichever file they stand in.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from mlabhub.site.keys import Site

SETTINGS = ("Acquire::http", "Acquire::https", "Acquire::Check-", "Acquire::Retries", "Acquire::ForceIPv")
OF_THIS_MACHINE = ("::CaInfo", "::CaPath", "::SslCert", "::SslKey", "::Proxy-Auto-Detect")
"""Settings that name files of the machine, which a build does not have."""


@dataclass(frozen=True)
class Source:
    """One line of sources.list."""

    uri: str
    suite: str
    components: tuple[str, ...]
    keyring: str | None = None
    trusted: bool = False


@dataclass(frozen=True)
class AptSite:
    """What apt uses here. ``distribution`` and ``release`` as in os-release: ``debian``, ``bookworm``."""

    distribution: str
    release: str
    sources: tuple[Source, ...]
    settings: tuple[str, ...]


def read_apt(root: Path = Path("/")) -> AptSite | None:
    """Return what apt uses on this machine; None where it is not Debian or a child of it."""
    release_file = root / "etc/os-release"
    if not release_file.exists() or not (root / "etc/apt").is_dir():
        return None
    distribution, codename = parse_release(release_file.read_text())
    if not distribution or not codename:
        return None
    sources = tuple(source for source in _all_sources(root) if is_own(source, codename))
    return AptSite(distribution, codename, sources, read_settings())


def parse_release(text: str) -> tuple[str, str]:
    """Return distribution and code name from an ``os-release``; empty where it does not say."""
    release = dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', text, re.MULTILINE))
    return release.get("ID", ""), release.get("VERSION_CODENAME", "")


def is_own(source: Source, release: str) -> bool:
    """Tell whether a source is the distribution's own."""
    suite = re.fullmatch(rf"{release}([-/](updates|security))?", source.suite)
    return suite is not None and "main" in source.components


def read_settings() -> tuple[str, ...]:
    """Return the lines of apt's configuration that say how to fetch."""
    try:
        dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    lines = (line for line in dump.splitlines() if line.startswith(SETTINGS) and not line.endswith('"";'))
    return tuple(line for line in lines if not any(word in line for word in OF_THIS_MACHINE))


def parse_list(text: str) -> Iterator[Source]:
    """Read a sources.list: ``deb [signed-by=...] URI SUITE COMPONENT...``."""
    for line in text.splitlines():
        match = re.match(r"\s*deb\s+(?:\[([^\]]*)\]\s*)?(\S+)\s+(\S+)\s+([^#]+)", line)
        if match:
            options = dict(option.lower().split("=", 1) for option in (match[1] or "").split() if "=" in option)
            trusted = options.get("trusted") == "yes"
            yield Source(match[2], match[3], tuple(match[4].split()), _keyring(match[1] or ""), trusted)


def parse_stanzas(text: str) -> Iterator[Source]:
    """Read a .sources file: stanzas of ``Types``, ``URIs``, ``Suites``, ``Components``, ``Signed-By``."""
    for stanza in re.split(r"\n\s*\n", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE)):
        pairs = re.findall(r"^([A-Za-z-]+):[ \t]*(.*)$", stanza, re.MULTILINE)
        fields = {key.lower(): value.split() for key, value in pairs}
        if "deb" not in fields.get("types", ()) or fields.get("enabled") == ["no"]:
            continue
        keyring = next((path for path in fields.get("signed-by", ()) if path.startswith("/")), None)
        for uri in fields.get("uris", ()):
            for suite in fields.get("suites", ()):
                yield Source(uri, suite, tuple(fields.get("components", ())), keyring, fields.get("trusted") == ["yes"])


def for_release(sources: tuple[Source, ...], here: str, wanted: str) -> tuple[Source, ...]:
    """Return the same mirrors for another release of the same distribution."""
    return tuple(replace(source, suite=source.suite.replace(here, wanted)) for source in sources)


def format_sources(sources: tuple[Source, ...], keyrings: str | None = None) -> str:
    """Return a sources.list. ``keyrings`` is the folder where own keyrings lie; None leaves their paths as they are."""
    lines = []
    for source in sources:
        options = ["trusted=yes"] if source.trusted else []
        if source.keyring and not _is_archive_key(source.keyring):
            place = source.keyring if keyrings is None else f"{keyrings}/{Path(source.keyring).name}"
            options.append(f"signed-by={place}")
        shown = f"[{' '.join(options)}] " if options else ""
        lines.append(f"deb {shown}{source.uri} {source.suite} {' '.join(source.components)}\n")
    return "".join(lines)


def format_stanzas(sources: tuple[Source, ...]) -> str:
    """Return a .sources file."""
    stanzas = []
    for source in sources:
        stanza = f"Types: deb\nURIs: {source.uri}\nSuites: {source.suite}\nComponents: {' '.join(source.components)}\n"
        stanza += f"Signed-By: {source.keyring}\n" if source.keyring else ""
        stanzas.append(stanza + ("Trusted: yes\n" if source.trusted else ""))
    return "\n".join(stanzas)


# -- the site's mirrors

PLACES = {
    "debian": ("http://deb.debian.org/debian", "http://deb.debian.org/debian-security"),
    "ubuntu": ("http://archive.ubuntu.com/ubuntu", "http://security.ubuntu.com/ubuntu"),
}
COMPONENTS = {"debian": ("main",), "ubuntu": ("main", "universe")}
RELEASES = {"debian": ("bookworm", "trixie"), "ubuntu": ("jammy", "noble")}


def mirrors(site: Site, distribution: str) -> tuple[str, str] | None:
    """Return where a distribution's packages and its security updates are; None where the site does not say."""
    if distribution == "debian" and (site.debian_mirror or site.debian_security_mirror):
        main, security = PLACES["debian"]
        return site.debian_mirror or main, site.debian_security_mirror or security
    if distribution == "ubuntu" and (site.ubuntu_mirror or site.ubuntu_security_mirror):
        main, security = PLACES["ubuntu"]
        return site.ubuntu_mirror or main, site.ubuntu_security_mirror or site.ubuntu_mirror or security
    return None


def mirrored(
    sources: tuple[Source, ...],
    site: Site,
    distribution: str,
    release: str,
    keyring: str = "",
    *,
    vendors: bool = False,
) -> tuple[Source, ...]:
    """Return the sources with the site's mirrors in place of the distribution's own. ``keyring`` signs the mirrors.

    ``vendors``: whether some may be a vendor's that names its suites alike; those stay.
    """
    places = mirrors(site, distribution)
    if places is None:
        return sources
    main, security = places
    changed = (
        replace(
            source,
            uri=security if source.suite.endswith("security") else main,
            keyring=keyring or source.keyring,
        )
        if is_own(source, release) and (not vendors or _is_archive(source.uri, distribution))
        else source
        for source in sources
    )
    return tuple(dict.fromkeys(changed))


def _is_archive(uri: str, distribution: str) -> bool:
    """Tell whether an address looks like one of the distribution's."""
    return re.search(rf"/{distribution}(-security|-ports)?/?$", uri) is not None


def site_sources(site: Site, distribution: str, release: str, keyring: str = "") -> tuple[Source, ...]:
    """Return the sources of a release at the site's mirrors; none where the site does not say."""
    suites = (release, f"{release}-updates", f"{release}-security")
    own = tuple(Source("", suite, COMPONENTS.get(distribution, ())) for suite in suites)
    return mirrored(own, site, distribution, release, keyring) if mirrors(site, distribution) else ()


def mirrored_files(
    files: Mapping[str, str], site: Site, distribution: str, release: str, keyring: str = ""
) -> dict[str, str]:
    """Return those of an image's files of sources that change with the site's mirrors, by their path."""
    changed = {}
    for path, text in files.items():
        stanzas = path.endswith(".sources")
        sources = tuple(parse_stanzas(text) if stanzas else parse_list(text))
        new = mirrored(sources, site, distribution, release, keyring, vendors=True)
        if new != sources:
            changed[path] = format_stanzas(new) if stanzas else format_sources(new)
    return changed


def make_files(site: AptSite, *, place: str, ca: str | None) -> dict[str, bytes]:
    """Return the files of the build's archive: apt's settings, and the sources for images of this very release."""
    settings = [*site.settings, *([f'Acquire::https::CaInfo "{ca}";'] if ca else [])]
    files = {"apt.conf": "".join(f"{line}\n" for line in settings).encode()}
    if site.sources:
        folder = f"apt-{site.distribution}-{site.release}"
        files[f"{folder}/sources.list"] = format_sources(site.sources, f"{place}/{folder}").encode()
        for keyring in {source.keyring for source in site.sources} - {None}:
            if keyring and not _is_archive_key(keyring) and Path(keyring).is_file():
                files[f"{folder}/{Path(keyring).name}"] = Path(keyring).read_bytes()
    return files


def _all_sources(root: Path) -> Iterator[Source]:
    apt = root / "etc/apt"
    for file in (apt / "sources.list", *sorted((apt / "sources.list.d").glob("*"))):
        if file.is_file() and file.suffix == ".list":
            yield from parse_list(file.read_text(errors="replace"))
        elif file.is_file() and file.suffix == ".sources":
            yield from parse_stanzas(file.read_text(errors="replace"))


def _keyring(options: str) -> str | None:
    match = re.search(r"signed-by=(/[^\s,]+)", options)
    return match[1] if match else None


def _is_archive_key(path: str) -> bool:
    """Tell whether a keyring is the distribution's own, which every image has."""
    return re.fullmatch(r"/usr/share/keyrings/(debian|ubuntu)-archive-keyring\.(gpg|pgp)", path) is not None
