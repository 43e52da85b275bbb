"""The keys of `site.conf`: what each is for, and which values it may have.

Guarantees: a checked value holds none of the characters that quote, expand, comment or end something in a shell, in
apt's, pip's, npm's, conda's and git's configuration or in TOML; a `Site` shows no credentials when it is printed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

FORBIDDEN = re.compile(r"[^A-Za-z0-9._~:/@\[\],+=% -]")
"""``setup/lib/site.sh`` has the same characters."""
Pair = tuple[str, str]


class InvalidValue(ValueError):
    """The text says what a value must be; it does not repeat the value, which may hold a password."""


def _key(read: Callable[[str], Any], default: Any, example: str, meaning: str) -> Any:
    return field(default=default, metadata={"read": read, "example": example, "meaning": meaning})


def read_value(name: str, text: str) -> Any:
    """Return the value of a key from its text. Raises `InvalidValue`."""
    found = FORBIDDEN.search(text)
    if found:
        character = found[0]
        written = f"write it as %{ord(character):02X}" if character.isascii() and character.isprintable() else "drop it"
        raise InvalidValue(f"cannot have the character {character!a}: no value needs quotes; in an URL, {written}")
    return KEYS[name]["read"](text)


def _words(text: str) -> list[str]:
    return list(dict.fromkeys(re.split(r"[ ,]+", text.strip(" ,")))) if text.strip(" ,") else []


def _url(text: str) -> str:
    """Return an address that has a scheme and a host."""
    must = "must be an address that begins with http:// or https:// and names a host"
    try:
        parts = urlsplit(text)
        complete = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        raise InvalidValue(must) from None
    if parts.scheme not in ("http", "https") or not complete or " " in text or "," in text:
        raise InvalidValue(must)
    return text


def _urls(text: str) -> tuple[str, ...]:
    return tuple(_url(word) for word in _words(text))


def _hosts(text: str) -> tuple[str, ...]:
    words = _words(text)
    if not all(re.fullmatch(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?", word) for word in words):
        raise InvalidValue("must be names of hosts, with a space between them, such as pypi.lab nexus.lab:8081")
    return tuple(words)


def _no_proxy(text: str) -> tuple[str, ...]:
    words = _words(text)
    if not all(re.fullmatch(r"[A-Za-z0-9._:/\[\]-]+", word) and "://" not in word for word in words):
        raise InvalidValue("must be hosts, domains or networks, with a comma between them, such as .lab,10.0.0.0/8")
    return tuple(words)


def _channels(text: str) -> tuple[str, ...]:
    words = _words(text)
    for word in words:
        if "://" in word:
            _url(word)
        elif not re.fullmatch(r"[A-Za-z0-9._/-]+", word):
            raise InvalidValue("must be channels, by name or address, with a space between them")
    return tuple(words)


def _file(text: str) -> str:
    if not text.startswith("/"):
        raise InvalidValue("must be the absolute path of a file, such as /etc/mlabhub/company-ca.pem")
    return text


def _keyring(text: str) -> str:
    if not text.endswith((".gpg", ".asc")):
        raise InvalidValue("must be a key file that ends in .gpg (binary) or .asc (text): apt tells them apart by that")
    return _file(text)


def _registries(text: str) -> tuple[Pair, ...]:
    pairs = []
    for word in _words(text):
        registry, _, mirror = word.partition("=")
        if not re.fullmatch(r"[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._/-]+)?", registry) or not mirror:
            raise InvalidValue("must be pairs REGISTRY=MIRROR, such as docker.io=https://registry.lab:5000/dockerhub")
        if "@" in _url(mirror):
            raise InvalidValue("cannot hold credentials: give them to the engine, by `podman login` or `docker login`")
        pairs.append((registry, mirror.rstrip("/")))
    return tuple(pairs)


def _time_zone(text: str) -> str:
    """Return the name of a time zone; where this machine knows none at all, the form is enough."""
    try:
        ZoneInfo(text)
        known = True
    except (OSError, ValueError, ZoneInfoNotFoundError):
        known = not available_timezones() and bool(re.fullmatch(r"[A-Za-z_]+(/[A-Za-z0-9_+-]+){0,2}", text))
    if not known:
        raise InvalidValue(
            "must be the name of a time zone, such as Asia/Shanghai; `timedatectl list-timezones` has all"
        )
    return text


def _language(text: str) -> str:
    if not re.fullmatch(r"[a-z]{2,3}_[A-Z]{2}\.UTF-8", text):
        raise InvalidValue("must be a language with UTF-8, such as zh_CN.UTF-8 or en_US.UTF-8")
    return text


def _rewrites(text: str) -> tuple[Pair, ...]:
    pairs = []
    for word in _words(text):
        source, _, target = word.partition("=")
        if not source or not target or "=" in target:
            raise InvalidValue("must be pairs FROM=TO, such as https://github.com/=https://git.lab/github/")
        pairs.append((source, _url(target)))
    return tuple(pairs)


@dataclass(frozen=True, repr=False)
class Site:
    """What the site's file says; empty where it says nothing."""

    debian_mirror: str = _key(
        _url, "", "http://mirror.lab/debian", "Debian's packages, for every release of Debian that the mirror has."
    )
    debian_security_mirror: str = _key(
        _url, "", "http://mirror.lab/debian-security", "Debian's security updates; Debian's own place if absent."
    )
    ubuntu_mirror: str = _key(_url, "", "http://mirror.lab/ubuntu", "Ubuntu's packages.")
    ubuntu_security_mirror: str = _key(
        _url, "", "http://mirror.lab/ubuntu", "Ubuntu's security updates; `UBUNTU_MIRROR` if absent."
    )
    apt_keyring: str = _key(
        _keyring,
        "",
        "/etc/mlabhub/mirror.gpg",
        "The key file of apt mirrors that sign packages themselves; usual mirrors keep the distribution's signatures.",
    )
    pip_index_url: str = _key(_url, "", "https://pypi.lab/simple", "The index that pip asks instead of PyPI.")
    pip_extra_index_url: tuple[str, ...] = _key(
        _urls, (), "https://pypi.lab/private/simple", "Further indexes. pip takes the newest version from any of them."
    )
    pip_trusted_host: tuple[str, ...] = _key(
        _hosts, (), "pypi.lab", "Hosts that pip trusts without a certificate; better is `CA_FILE`."
    )
    npm_registry: str = _key(_url, "", "https://npm.lab/", "The registry that npm asks.")
    conda_mirror: str = _key(
        _url,
        "",
        "https://mirror.lab/anaconda",
        "A mirror laid out like Anaconda's: `pkgs/main` and others below it, channels such as conda-forge at `cloud/`.",
    )
    conda_channels: tuple[str, ...] = _key(
        _channels, (), "conda-forge https://mirror.lab/ours", "The channels that conda asks, first the first."
    )
    registry_mirrors: tuple[Pair, ...] = _key(
        _registries,
        (),
        "docker.io=https://registry.lab:5000/dockerhub",
        "Where images of a registry are asked for first, as REGISTRY=MIRROR; `http://` for a mirror without TLS.",
    )
    git_rewrites: tuple[Pair, ...] = _key(
        _rewrites, (), "https://github.com/=https://git.lab/github/", "Beginnings of git addresses, as FROM=TO."
    )
    http_proxy: str = _key(_url, "", "http://proxy.lab:3128", "The proxy for http addresses.")
    https_proxy: str = _key(_url, "", "http://proxy.lab:3128", "The proxy for https addresses.")
    no_proxy: tuple[str, ...] = _key(
        _no_proxy,
        (),
        ".lab,10.0.0.0/8",
        "Hosts, domains and networks to reach without the proxy. localhost and the hub are always among them.",
    )
    ca_file: str = _key(
        _file, "", "/etc/mlabhub/company-ca.pem", "Certificates (PEM) to trust beside the machine's own."
    )

    time_zone: str = _key(_time_zone, "", "Asia/Shanghai", "The time zone of people's servers; UTC if absent.")
    language: str = _key(
        _language,
        "",
        "zh_CN.UTF-8",
        "The language of programs and desktops in people's servers; that of the image, English in ours, if absent.",
    )

    def __repr__(self) -> str:
        said = {name: shown(getattr(self, name)) for name in (f.name for f in fields(self)) if getattr(self, name)}
        return f"Site({said})"

    @property
    def has_proxy(self) -> bool:
        """Whether there is any proxy."""
        return bool(self.http_proxy or self.https_proxy)


KEYS: Mapping[str, Mapping[str, Any]] = {entry.name.upper(): entry.metadata for entry in fields(Site)}
"""By the name in the file: how its text is read, an example, its meaning."""


def shown(value: object) -> str:
    """Return a value as it may be shown: without the credentials in its addresses."""
    if isinstance(value, tuple):
        return " ".join("=".join(map(shown, item)) if isinstance(item, tuple) else shown(item) for item in value)
    return re.sub(r"(?<=://)[^/\s]*@", "***@", str(value))
