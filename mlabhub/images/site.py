"""What this machine's site asks of package clients: mirrors, HTTP proxy, company CA.

Read from where the clients themselves read it (environment, pip's, npm's and apt's configuration, the machine's trust
store), so that it is said once, and handed to a build as one archive, a build secret.

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
from dataclasses import dataclass, field
from pathlib import Path

from mlabhub.images import apt

PLACE = "/run/mlabhub-site"
"""Where a build step finds the unpacked archive; ``with-site`` in the base image says the same."""
SECRET_ID = "mlabhub-site"
PROXY_VARIABLES = ("http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy")
PIP_OPTIONS = ("index-url", "extra-index-url", "trusted-host", "proxy", "timeout", "retries")
CA_VARIABLES = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")
SYSTEM_CA = Path("/etc/ssl/certs/ca-certificates.crt")


@dataclass(frozen=True)
class Site:
    """What builds on this machine need; empty where the machine has nothing to say."""

    environment: Mapping[str, str] = field(default_factory=dict)
    ca: bytes = b""
    apt: apt.AptSite | None = None


def read_site(environ: Mapping[str, str] | None = None) -> Site:
    """Return what this machine is set up to use."""
    environ = os.environ if environ is None else environ
    return Site(
        environment={**read_proxies(environ), **read_pip(environ), **read_npm(environ)},
        ca=read_ca(environ),
        apt=apt.read_apt(),
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


def read_ca(environ: Mapping[str, str], system: Path = SYSTEM_CA) -> bytes:
    """Return the certificates this machine trusts: its own store, and the bundles that variables name."""
    files = dict.fromkeys([system, *(Path(environ[name]) for name in CA_VARIABLES if environ.get(name))])
    pattern = re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
    certificates: dict[bytes, None] = {}
    for file in files:
        certificates.update(dict.fromkeys(pattern.findall(_bytes(file))))
    return b"".join(certificate + b"\n" for certificate in certificates)


def make_archive(site: Site) -> bytes:
    """Return the compressed tar archive that ``with-site`` unpacks: ``environment``, ``ca.pem`` and apt's part."""
    environment = dict(site.environment)
    files: dict[str, bytes] = {}
    if site.ca:
        files["ca.pem"] = site.ca
        environment.update(dict.fromkeys((*CA_VARIABLES, "GIT_SSL_CAINFO"), f"{PLACE}/ca.pem"))
    if site.apt:
        files.update(apt.make_files(site.apt, place=PLACE, ca=f"{PLACE}/ca.pem" if site.ca else None))
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


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""


def _text(file: Path) -> str:
    return _bytes(file).decode(errors="replace")
