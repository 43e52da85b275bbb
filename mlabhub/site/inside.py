"""What every environment gets of the site: a read-only folder, a few files at the places where clients look last, and
variables that point at them.

Guarantees: nothing here wins over what people set in their own home or in their environment, but for the proxy and the
certificates, which programs know by variables alone; the hub is never reached by the proxy; nothing of it is in the
image that a server's changes are saved to, but empty files where something was mounted; what a person's own image says
of its package sources, which may hold passwords, is in no other server.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from mlabhub.settings import Settings, replace_file
from mlabhub.site import apt, clients
from mlabhub.site.file import InvalidSite, SiteFile, parse
from mlabhub.site.keys import Site

CA_INSIDE = "/var/lib/mlabhub/ca.pem"
"""Where the certificates to trust are inside. Changes below this folder are not saved."""
FOLDER = "/run/mlabhub/site"
"""Where the folder is inside."""
GITCONFIG, NPMRC, KEYRING = "gitconfig", "npmrc", "apt-keyring"
PIP_CONF = "pip/pip.conf"
PLACES = {
    PIP_CONF: "/etc/xdg/pip/pip.conf",
    "condarc.yml": "/etc/conda/condarc.d/mlabhub-site.yml",
}
"""Where pip and conda look first, so that every other file of theirs wins."""
MOST_CHARACTERS = 65536
"""Of a list of sources: who is root inside may write anything into one."""
APT_SOURCES = "apt-sources"
"""Beside the folder, and not in it: the lists of sources of single images."""
APT_CONF, APT_PLACE = "apt.conf", "/etc/apt/apt.conf.d/00mlabhub-site"


def save_site(found: SiteFile, run_dir: Path, ca: str) -> None:
    """Keep what the file says for the hub that starts now, and write the folder.

    ``ca`` is where servers find the bundle; they are led there only if the file names authorities, for else nothing may
    be there. Raises `InvalidSite`.
    """
    if found.faults:
        raise InvalidSite(found.faults)
    folder, site = run_dir / "site", found.site
    shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(run_dir / APT_SOURCES, ignore_errors=True)
    folder.mkdir(mode=0o755)
    replace_file(run_dir / "site.conf", found.path.read_text() if found.path else "", 0o600)
    for name, text in make_folder(site, ca if site.ca_file else "").items():
        (folder / name).parent.mkdir(mode=0o755, exist_ok=True)
        replace_file(folder / name, text)
    if site.apt_keyring:
        (folder / KEYRING).with_suffix(Path(site.apt_keyring).suffix).write_bytes(Path(site.apt_keyring).read_bytes())


def saved_site(settings: Settings) -> Site:
    """Return what the file said when `mlabhub up` started."""
    file = settings.run_dir / "site.conf"
    return parse(file, file.read_text(), look=False).site if file.exists() else Site()


def make_folder(site: Site, ca: str) -> dict[str, str]:
    """Return the folder's files."""
    files = {
        PIP_CONF: clients.make_pip_conf(site, ca),
        NPMRC: clients.make_npmrc(site, ca),
        "condarc.yml": clients.make_condarc(site, ca),
        GITCONFIG: clients.make_gitconfig(site, ca, also="/etc/gitconfig"),
        APT_CONF: clients.make_apt_conf(site, ca),
    }
    return {name: text for name, text in files.items() if text}


def make_environment(
    site: Site, names: Iterable[str], *, ca: str, direct: Iterable[str] = (), folder: str = FOLDER
) -> dict[str, str]:
    """Return the variables. ``names``: the folder's files; ``direct``: the hub's addresses and the server's network."""
    there = set(names)
    environment = {**clients.make_proxy_environment(site, direct), **make_locale(site)}
    environment.update(dict.fromkeys(clients.CA_VARIABLES, ca) if ca else {})
    environment.update({"NPM_CONFIG_GLOBALCONFIG": f"{folder}/{NPMRC}"} if NPMRC in there else {})
    environment.update({"GIT_CONFIG_SYSTEM": f"{folder}/{GITCONFIG}"} if GITCONFIG in there else {})
    return environment


def make_locale(site: Site) -> dict[str, str]:
    """Return the variables for the time zone and the language; what a profile's options say wins over them."""
    said = {"TZ": site.time_zone, "LANG": site.language}
    return {name: value for name, value in said.items() if value}


def make_places(folder: Path, names: Iterable[str], apt_files: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return what is mounted where, target by source. ``apt_files``: see `write_apt_files`; None without apt inside."""
    there = set(names)
    if not there and not apt_files:
        return {}
    places = {str(folder): FOLDER, **{str(folder / name): place for name, place in PLACES.items() if name in there}}
    if apt_files is not None and APT_CONF in there:
        places[str(folder / APT_CONF)] = APT_PLACE
    return {**places, **(apt_files or {})}


def names_in(folder: Path) -> tuple[str, ...]:
    """Return the files of a folder that `save_site` wrote; none if there is no folder."""
    if not folder.is_dir():
        return ()
    return tuple(sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()))


def wants_apt(site: Site) -> bool:
    """Tell whether apt inside is to be told anything."""
    return bool(site.has_proxy or site.ca_file or apt.mirrors(site, "debian") or apt.mirrors(site, "ubuntu"))


def write_apt_files(folder: Path, files: Mapping[str, bytes], site: Site) -> dict[str, str] | None:
    """Write an image's sources with the site's mirrors in them; return what is mounted over which of its files.

    ``files`` are those of the image's ``/etc/apt`` and its ``os-release``. None if there is no apt in it.
    """
    texts = {path: content.decode(errors="replace") for path, content in files.items()}
    release_file = next((texts[path] for path in ("/usr/lib/os-release", "/etc/os-release") if path in texts), "")
    if not any(path.startswith("/etc/apt/") for path in texts):
        return None
    distribution, release = apt.parse_release(release_file)
    lists = {
        path: text
        for path, text in texts.items()
        if path.endswith((".list", ".sources")) and len(text) <= MOST_CHARACTERS
    }
    keyring = f"{FOLDER}/{KEYRING}{Path(site.apt_keyring).suffix}" if site.apt_keyring else ""
    folder.mkdir(mode=0o755, exist_ok=True)
    places = {}
    for path, text in apt.mirrored_files(lists, site, distribution, release, keyring).items():
        file = folder / ("sources-" + hashlib.sha256("\n".join((path, text)).encode()).hexdigest()[:16])
        if not file.exists():
            replace_file(file, text)
        places[str(file)] = path
    return places
