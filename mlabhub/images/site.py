"""What image builds get of the site: mirrors, HTTP proxy, company CA.

The site's file says it; what that leaves open is read from where the clients of this machine read it: environment,
pip's, npm's and apt's configuration, the machine's trust store. A build is handed one archive, a build secret.

Guarantees: reading changes nothing; nothing of it is part of an image's files, environment or history (``with-site`` in
the base image unpacks the archive for one command); credentials are taken along only inside that archive.
"""

from __future__ import annotations

import configparser
import io
import os
import re
import shlex
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from mlabhub.site import Site, apt, clients, load_site
from mlabhub.site.apt import AptSite
from mlabhub.site.authorities import SYSTEM_CA, read_certificates

PLACE = "/run/mlabhub-site"
"""Where a build step finds the unpacked archive; ``with-site`` in the base image says the same."""
SECRET_ID = "mlabhub-site"
PROXY_VARIABLES = ("http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy")
PIP_OPTIONS = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout", "retries")
PIP_INDEXES = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST")
CA_VARIABLES = ("PIP_CERT", *clients.CA_VARIABLES)


@dataclass(frozen=True)
class BuildSite:
    """What builds on this machine need; empty where there is nothing to say.

    ``apt`` is what this machine uses, ``more_apt`` the site's mirrors for other releases, ``files`` further files by
    the variable that names them.
    """

    environment: Mapping[str, str] = field(default_factory=dict)
    ca: bytes = b""
    apt: AptSite | None = None
    more_apt: tuple[AptSite, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)


def read_site(environ: Mapping[str, str] | None = None) -> BuildSite:
    """Return what the site's file says, and what this machine is set up to use. Raises `InvalidSite`."""
    environ = os.environ if environ is None else environ
    site = load_site(environ)
    ca = f"{PLACE}/ca.pem" if site.ca_file else ""
    files = {
        "GIT_CONFIG_SYSTEM": clients.make_gitconfig(site, ca),
        "CONDARC": clients.make_condarc(site, ca),
    }
    return BuildSite(
        environment=make_environment(site, environ),
        ca=read_ca(environ, company=site.ca_file),
        apt=read_apt(site),
        more_apt=more_apt(site),
        files={name: text for name, text in files.items() if text},
    )


def make_environment(site: Site, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables: the site's, or the machine's for a client of which the site's file says nothing."""
    proxies = clients.make_proxy_environment(site) or read_proxies(environ)
    pip, own_pip = read_pip(environ), clients.make_pip_environment(site)
    if own_pip:
        pip = {name: value for name, value in pip.items() if name not in PIP_INDEXES}
    if site.has_proxy:
        pip.pop("PIP_PROXY", None)
    npm = {"npm_config_registry": site.npm_registry} if site.npm_registry else read_npm(environ)
    return {**proxies, **pip, **own_pip, **npm}


def read_apt(site: Site) -> AptSite | None:
    """Return what apt uses on this machine, with the site's mirrors and proxy instead of the machine's."""
    found = apt.read_apt()
    if found is None:
        return None
    sources = apt.mirrored(found.sources, site, found.distribution, found.release, site.apt_keyring)
    settings = found.settings
    if site.has_proxy:
        own = clients.make_apt_conf(site, "").splitlines()
        settings = (*(line for line in settings if "::Proxy" not in line), *own)
    return replace(found, sources=sources, settings=settings)


def more_apt(site: Site) -> tuple[AptSite, ...]:
    """Return the site's mirrors for every release that images grow from."""
    return tuple(
        AptSite(distribution, release, sources, ())
        for distribution, releases in apt.RELEASES.items()
        for release in releases
        if (sources := apt.site_sources(site, distribution, release, site.apt_keyring))
    )


def read_proxies(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the proxy variables, in both spellings that programs look for."""
    found = {}
    for name in PROXY_VARIABLES:
        value = environ.get(name) or environ.get(name.upper())
        if value:
            found[name] = found[name.upper()] = value
    return found


def read_pip(environ: Mapping[str, str]) -> dict[str, str]:
    """Return pip's index, proxy and the like as variables; as in pip, the environment wins over its files."""
    found = {}
    for file in _pip_files(environ):
        parser = configparser.RawConfigParser()
        try:
            parser.read(file)
        except (configparser.Error, UnicodeDecodeError):
            continue  # pip itself complains about it
        for section in ("global", "install"):
            if parser.has_section(section):
                found.update({key.replace("_", "-"): value for key, value in parser.items(section)})
    found.update({option: environ[_pip_variable(option)] for option in PIP_OPTIONS if _pip_variable(option) in environ})
    return {_pip_variable(option): " ".join(found[option].split()) for option in PIP_OPTIONS if found.get(option)}


def read_npm(environ: Mapping[str, str]) -> dict[str, str]:
    """Return npm's registry as a variable."""
    for name in ("npm_config_registry", "NPM_CONFIG_REGISTRY"):
        if environ.get(name):
            return {"npm_config_registry": environ[name]}
    home = Path(environ.get("HOME", "/"))
    for file in (home / ".npmrc", Path("/usr/local/etc/npmrc"), Path("/usr/etc/npmrc"), Path("/etc/npmrc")):
        match = re.search(r"^\s*registry\s*=\s*(\S+)", _text(file), re.MULTILINE)
        if match:
            return {"npm_config_registry": match[1].strip("\"'")}
    return {}


def read_ca(environ: Mapping[str, str], system: Path = SYSTEM_CA, company: str = "") -> bytes:
    """Return the certificates this machine trusts: its own store, the bundles that variables name, the company's."""
    return read_certificates([system, *(environ.get(name) for name in CA_VARIABLES), company])


def make_archive(site: BuildSite) -> bytes:
    """Return the compressed tar archive that ``with-site`` unpacks: ``environment``, ``ca.pem``, apt's part, files."""
    environment = dict(site.environment)
    files: dict[str, bytes] = {}
    if site.ca:
        files["ca.pem"] = site.ca
        environment.update(dict.fromkeys((*CA_VARIABLES, "GIT_SSL_CAINFO"), f"{PLACE}/ca.pem"))
    for found in (*site.more_apt, site.apt):
        if found:
            files.update(apt.make_files(found, place=PLACE, ca=f"{PLACE}/ca.pem" if site.ca else None))
    for name, text in site.files.items():
        files[name.lower()], environment[name] = text.encode(), f"{PLACE}/{name.lower()}"
    lines = [f"export {name}={shlex.quote(value)}\n" for name, value in sorted(environment.items())]
    files["environment"] = "".join(lines).encode()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o644
            archive.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def _pip_files(environ: Mapping[str, str]) -> Iterator[Path]:
    home = Path(environ.get("HOME", "/"))
    for folder in environ.get("XDG_CONFIG_DIRS", "/etc/xdg").split(":"):
        yield Path(folder) / "pip" / "pip.conf"
    yield Path("/etc/pip.conf")
    yield home / ".pip" / "pip.conf"
    yield Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "pip" / "pip.conf"
    if environ.get("PIP_CONFIG_FILE"):
        yield Path(environ["PIP_CONFIG_FILE"])


def _pip_variable(option: str) -> str:
    return "PIP_" + option.upper().replace("-", "_").replace("TIMEOUT", "DEFAULT_TIMEOUT")


def _text(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""
