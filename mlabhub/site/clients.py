"""The site's settings in each client's own words: pip, npm, conda, git, apt, container engines, the environment.

Pure functions. ``ca`` is where the client will find the certificates to trust, empty where the site names none; an
empty text means that there is nothing to say.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from mlabhub.site.keys import Site

HEAD = "# From the site's settings (site.conf of mlabhub).\n"
CA_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")
"""For programs without a file of their own that could say it."""
NEVER_BY_PROXY = ("localhost", "127.0.0.1", "::1")


def make_pip_conf(site: Site, ca: str) -> str:
    """Return a ``pip.conf``."""
    lines = [f"index-url = {site.pip_index_url}"] if site.pip_index_url else []
    for option, values in (("extra-index-url", site.pip_extra_index_url), ("trusted-host", site.pip_trusted_host)):
        lines += ["\n    ".join([f"{option} =", *values])] if values else []
    lines += [f"cert = {ca}"] if ca else []
    return HEAD + "\n".join(["[global]", *lines]) + "\n" if lines else ""


def make_pip_environment(site: Site) -> dict[str, str]:
    """Return the same as variables, without the certificates."""
    variables = {
        "PIP_INDEX_URL": site.pip_index_url,
        "PIP_EXTRA_INDEX_URL": " ".join(site.pip_extra_index_url),
        "PIP_TRUSTED_HOST": " ".join(site.pip_trusted_host),
    }
    return {name: value for name, value in variables.items() if value}


def make_npmrc(site: Site, ca: str) -> str:
    """Return an ``npmrc``."""
    lines = [f"registry={site.npm_registry}"] if site.npm_registry else []
    lines += [f"cafile={ca}"] if ca else []
    return HEAD + "\n".join(lines) + "\n" if lines else ""


def make_condarc(site: Site, ca: str) -> str:
    """Return a ``condarc``; JSON's strings and lists are YAML's too."""
    said: dict[str, object] = {}
    if site.conda_channels:
        said["channels"] = list(site.conda_channels)
    if site.conda_mirror:
        mirror = site.conda_mirror.rstrip("/")
        said["default_channels"] = [f"{mirror}/pkgs/main", f"{mirror}/pkgs/r"]
        said["channel_alias"] = f"{mirror}/cloud"
    if ca:
        said["ssl_verify"] = ca
    return HEAD + "".join(f"{key}: {json.dumps(value)}\n" for key, value in said.items()) if said else ""


def make_gitconfig(site: Site, ca: str, also: str = "") -> str:
    """Return a ``gitconfig``; ``also`` is a file that is read after it and wins."""
    parts = [f'[url "{target}"]\n\tinsteadOf = "{source}"\n' for source, target in site.git_rewrites]
    parts += [f'[http]\n\tsslCAInfo = "{ca}"\n'] if ca else []
    parts += [f'[include]\n\tpath = "{also}"\n'] if also and parts else []
    return HEAD + "".join(parts) if parts else ""


def make_apt_conf(site: Site, ca: str) -> str:
    """Return apt's configuration: proxy and certificates. Where the packages come from is a list of sources."""
    lines = []
    if site.has_proxy:
        for scheme, proxy in (("http", site.http_proxy), ("https", site.https_proxy)):
            lines.append(f'Acquire::{scheme}::Proxy "{proxy or "DIRECT"}";')
            lines += [f'Acquire::{scheme}::Proxy::{host} "DIRECT";' for host in _direct_hosts(site)]
    lines += [f'Acquire::https::CaInfo "{ca}";'] if ca else []
    return "".join(f"{line}\n" for line in lines)


def make_registries_conf(site: Site) -> str:
    """Return Podman's ``registries.conf``."""
    if not site.registry_mirrors:
        return ""
    parts = [HEAD, 'unqualified-search-registries = ["docker.io"]\n']
    for registry in dict.fromkeys(name for name, _ in site.registry_mirrors):
        parts.append(f'\n[[registry]]\nprefix = "{registry}"\nlocation = "{registry}"\n')
        for mirror in (mirror for name, mirror in site.registry_mirrors if name == registry):
            scheme, _, location = mirror.partition("://")
            parts.append(f'\n[[registry.mirror]]\nlocation = "{location}"\n')
            parts.append("insecure = true\n" if scheme == "http" else "")
    return "".join(parts)


def make_proxy_environment(site: Site, direct: Iterable[str] = ()) -> dict[str, str]:
    """Return the proxy variables in both spellings; ``direct`` are further hosts to reach without it."""
    if not site.has_proxy:
        return {}
    variables = {
        "http_proxy": site.http_proxy,
        "https_proxy": site.https_proxy,
        "no_proxy": ",".join(dict.fromkeys((*NEVER_BY_PROXY, *filter(None, direct), *site.no_proxy))),
    }
    return {spelt: value for name, value in variables.items() if value for spelt in (name, name.upper())}


def is_direct(site: Site, url: str) -> bool:
    """Tell whether an address is one to reach without the proxy, as far as its name says it."""
    host = urlsplit(url).hostname or ""
    entries = (re.sub(r"(?<=[^:]):[0-9]+$", "", entry) for entry in site.no_proxy)
    bare = [entry.strip("[]").lstrip(".").lower() for entry in (*NEVER_BY_PROXY, *entries)]
    return any(host == entry or host.endswith(f".{entry}") for entry in bare)


def _direct_hosts(site: Site) -> list[str]:
    """Return the mirrors' hosts that are reached without the proxy: apt wants each by its name."""
    mirrors = (
        site.debian_mirror,
        site.debian_security_mirror,
        site.ubuntu_mirror,
        site.ubuntu_security_mirror,
    )
    hosts = [urlsplit(url).hostname or "" for url in mirrors if url and is_direct(site, url)]
    return list(dict.fromkeys(["localhost", *hosts]))
