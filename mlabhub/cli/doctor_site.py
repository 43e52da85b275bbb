"""Whether what the site's file names works: one question to each mirror, registry, index, proxy, and the CA.

Guarantees: everything is asked at once, and an answer is waited for a few seconds only; nothing is changed; no
password is shown. What is not set is fine.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import stat
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import TimeoutError as NoAnswer
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
from cryptography import x509

from mlabhub.cli.findings import Check, in_background
from mlabhub.site import Site, SiteFile, apt, shown
from mlabhub.site.authorities import SYSTEM_CA
from mlabhub.site.clients import is_direct
from mlabhub.site.keys import KEYS

CONNECT_SECONDS = 4
ANSWER_SECONDS = 8
"""In all, looking up the name included."""
KNOWN_PACKAGE = "pip"
KNOWN_NPM_PACKAGE = "configurable-http-proxy"
SOON_DAYS = 30
OUR_LANGUAGES = ("en_US.UTF-8", "zh_CN.UTF-8")
"""The locales of the image `base`."""
HOW_TO = "docs/how-to/site.md"


@dataclass(frozen=True)
class Question:
    """One address to ask. ``fine`` are answers beside success: a registry may first want to know who asks."""

    name: str
    key: str
    url: str
    fine: tuple[int, ...] = ()


def check_site(found: SiteFile, now: datetime) -> list[Check]:
    """Return what is to be said of the site's settings."""
    if found.path is None:
        return [Check("site settings", "info", f"no site.conf: as this machine's own clients are set up; see {HOW_TO}")]
    if found.faults:
        fix = f"Mend it: {HOW_TO} says what it may hold; `mlabhub check` reads it again."
        return [Check("site settings", "missing", str(fault), fix) for fault in found.faults]
    site, file = found.site, found.path
    work = [(question.name, partial(ask_address, question, site, file)) for question in _questions(site)]
    work += [(key, partial(check_proxy, key, url, file)) for key, url in _proxies(site)]
    waiting = [(name, in_background(job)) for name, job in work]
    checks = [check_file(found)]
    if site.ca_file:
        checks.append(check_ca(Path(site.ca_file), now))
    if site.language:
        checks.append(check_language(site.language))
    deadline = time.monotonic() + ANSWER_SECONDS
    for name, future in waiting:
        try:
            checks.append(future.result(max(0.0, deadline - time.monotonic())))
        except NoAnswer:
            fix = f"Check {file}, and that this machine reaches what it names."
            checks.append(Check(name, "missing", f"no answer within {ANSWER_SECONDS} s", fix))
    return checks


def check_file(found: SiteFile) -> Check:
    """Return which keys are set, and whether a file with passwords is everybody's to read."""
    path, site = found.path, found.site
    assert path is not None
    said = [name for name in KEYS if getattr(site, name.lower())]
    text = f"{path}: {', '.join(said) or 'nothing set'}"
    secret = any(shown(getattr(site, name.lower())) != _plain(getattr(site, name.lower())) for name in said)
    if secret and path.stat().st_mode & stat.S_IROTH:
        return Check("site settings", "better", f"{text}; everybody can read its passwords", f"`chmod 640 {path}`")
    return Check("site settings", "ok", text)


def check_language(language: str) -> Check:
    """Return whether our images have the language; those from elsewhere fall back to English where they lack it."""
    if language in OUR_LANGUAGES:
        return Check("language", "ok", language)
    fix = f"Set LANGUAGE to one of them, or add the locale {language} to images of your own by `locale-gen`."
    return Check("language", "better", f"{language} is not in our images, which have {', '.join(OUR_LANGUAGES)}", fix)


def _plain(value: object) -> str:
    if isinstance(value, tuple):
        return " ".join("=".join(item) if isinstance(item, tuple) else str(item) for item in value)
    return str(value)


def _questions(site: Site) -> Iterator[Question]:
    for distribution, release in (("debian", "bookworm"), ("ubuntu", "noble")):
        places = apt.mirrors(site, distribution)
        if places:
            keys = [f"{distribution.upper()}_MIRROR", f"{distribution.upper()}_SECURITY_MIRROR"]
            for key, place, suite in zip(keys, places, (release, f"{release}-security"), strict=True):
                if getattr(site, key.lower()):
                    yield Question(f"apt mirror ({suite})", key, f"{place.rstrip('/')}/dists/{suite}/InRelease")
    for key, urls in (("PIP_INDEX_URL", (site.pip_index_url,)), ("PIP_EXTRA_INDEX_URL", site.pip_extra_index_url)):
        for url in filter(None, urls):
            fine = () if key == "PIP_INDEX_URL" else (404,)
            yield Question("pip index", key, f"{url.rstrip('/')}/{KNOWN_PACKAGE}/", fine)
    if site.npm_registry:
        yield Question("npm registry", "NPM_REGISTRY", f"{site.npm_registry.rstrip('/')}/{KNOWN_NPM_PACKAGE}")
    yield from _conda_questions(site)
    for _, mirror in site.registry_mirrors:
        parts = urlsplit(mirror)
        yield Question("registry mirror", "REGISTRY_MIRRORS", f"{parts.scheme}://{parts.netloc}/v2/", (401, 403))
    for _, target in site.git_rewrites:
        yield Question("git server", "GIT_REWRITES", target, (301, 302, 401, 403, 404))


def _conda_questions(site: Site) -> Iterator[Question]:
    mirror = site.conda_mirror.rstrip("/")
    channels = [f"{mirror}/pkgs/main"] if mirror else []
    for channel in site.conda_channels:
        if "://" in channel:
            channels.append(channel.rstrip("/"))
        elif mirror and channel != "defaults":
            channels.append(f"{mirror}/cloud/{channel}")
    for url in channels:
        yield Question("conda channel", "CONDA_MIRROR" if mirror else "CONDA_CHANNELS", f"{url}/noarch/repodata.json")


def ask_address(question: Question, site: Site, file: Path) -> Check:
    """Ask one address as the clients will: by the proxy, with the site's certificates."""
    proxy = site.https_proxy if question.url.startswith("https:") else site.http_proxy
    by_proxy = bool(proxy) and not is_direct(site, question.url)
    where = shown(question.url) + (f" by {shown(proxy)}" if by_proxy else "")
    try:
        with (
            httpx.Client(
                verify=trusting(site.ca_file),
                proxy=proxy if by_proxy else None,
                timeout=CONNECT_SECONDS,
                trust_env=False,
                follow_redirects=True,
            ) as client,
            client.stream("GET", question.url) as answer,
        ):
            status = answer.status_code
    except (httpx.HTTPError, OSError) as error:
        return Check(question.name, "missing", f"{where}: {explain(error)}", _fix(question, error, file, by_proxy))
    if status < 400 or status in question.fine:
        return Check(question.name, "ok", where)
    fix = f"Check {question.key} in {file}: is the address right, and does the server want a name and a password?"
    return Check(question.name, "missing", f"{where}: it answers {status}", fix)


def trusting(ca_file: str) -> ssl.SSLContext:
    """Return what verifies certificates: the machine's authorities and the company's."""
    context = ssl.create_default_context(cafile=str(SYSTEM_CA) if SYSTEM_CA.exists() else None)
    if ca_file:
        context.load_verify_locations(ca_file)
    return context


def explain(error: Exception) -> str:
    """Return what went wrong in words, without any address: it may hold a password."""
    text = str(error)
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return "its certificate is not trusted here"
    if isinstance(error, httpx.ProxyError):
        return f"the proxy refuses ({text[:3]})" if text[:3].isdigit() else "the proxy refuses"
    if isinstance(error, (httpx.TimeoutException, TimeoutError)):
        return "it does not answer"
    if any(words in text for words in ("Name or service", "No address", "name resolution", "getaddrinfo")):
        return "its name is not known here"
    if "refused" in text:
        return "nothing listens there"
    return "it cannot be reached"


def _fix(question: Question, error: Exception, file: Path, by_proxy: bool) -> str:
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return f"Name your company's CA in {file}: CA_FILE=/etc/mlabhub/company-ca.pem"
    if isinstance(error, httpx.ProxyError) and str(error).startswith("407"):
        return f"The proxy wants to know who asks: HTTPS_PROXY=http://NAME:PASSWORD@HOST:PORT in {file}"
    way = "the proxy, or NO_PROXY if it is inside" if by_proxy else "that this machine reaches it"
    return f"Check {question.key} in {file}, and {way}."


def _proxies(site: Site) -> list[tuple[str, str]]:
    by_url = {site.https_proxy: "HTTPS_PROXY", site.http_proxy: "HTTP_PROXY"}
    return [(key, url) for url, key in by_url.items() if url]


def check_proxy(key: str, url: str, file: Path) -> Check:
    """Return whether something listens at the proxy's address, and whether people's servers can reach it."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        with socket.create_connection((parts.hostname or "", port), CONNECT_SECONDS) as connection:
            address = str(connection.getpeername()[0])
    except OSError as error:
        return Check(key, "missing", f"{shown(url)}: {explain(error)}", f"Check {key} in {file}.")
    if is_here(address):
        fix = f"Let it run on another machine, or give {key} in {file} an address outside of this one."
        found = f"{shown(url)} is this machine, whose ports are closed to people's servers"
        return Check(key, "better", found, fix)
    return Check(key, "ok", shown(url))


def assess_docker_mirrors(site: Site, used: str | None) -> Check:
    """Return whether Docker, whose daemon has settings of its own, has the mirrors of docker.io in its list."""
    wanted = [mirror for registry, mirror in site.registry_mirrors if registry == "docker.io"]
    if all(mirror in (used or "") for mirror in wanted):
        return Check(
            "Docker's mirrors", "ok", " ".join(wanted) or "none for docker.io, the only one it can have them for"
        )
    listed = ", ".join(f'"{mirror}"' for mirror in wanted)
    fix = f'/etc/docker/daemon.json: {{"registry-mirrors": [{listed}]}}, then `systemctl restart docker`'
    return Check("Docker's mirrors", "better", "Docker does not use REGISTRY_MIRRORS: its daemon has its own", fix)


def is_here(address: str) -> bool:
    """Tell whether an address is one of this machine's."""
    if ipaddress.ip_address(address.partition("%")[0]).is_loopback:
        return True
    return any(entry.address == address for entries in psutil.net_if_addrs().values() for entry in entries)


def check_ca(file: Path, now: datetime) -> Check:
    """Return whether the certificates are authorities, and not out of date."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # old authorities that break today's rules are still trusted
            certificates = x509.load_pem_x509_certificates(file.read_bytes())
    except (OSError, ValueError):
        return Check("company CA", "missing", f"{file} cannot be read as certificates", "Give CA_FILE a PEM file.")
    for certificate in certificates:
        name, ends = _common_name(certificate), certificate.not_valid_after_utc
        if ends < now:
            fix = "Get the new one from who runs it, and put it into the file."
            return Check("company CA", "missing", f"{name} in {file} ended on {ends:%Y-%m-%d}", fix)
        if not is_authority(certificate):
            fix = "CA_FILE wants the certificate that signed it: the root, or an intermediate one."
            return Check(
                "company CA", "missing", f"{name} in {file} is a server's certificate, not an authority's", fix
            )
        if ends < now + timedelta(days=SOON_DAYS):
            return Check("company CA", "better", f"{name} in {file} ends on {ends:%Y-%m-%d}", "Get the next one.")
    return Check("company CA", "ok", f"{file}: {', '.join(map(_common_name, certificates))}")


def is_authority(certificate: x509.Certificate) -> bool:
    """Tell whether a certificate may sign others; the first version of certificates cannot say, its own issuer may."""
    try:
        return bool(certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca)
    except x509.ExtensionNotFound:
        return certificate.issuer == certificate.subject


def _common_name(certificate: x509.Certificate) -> str:
    names = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(names[0].value) if names else certificate.subject.rfc4514_string() or "a certificate without a name"
