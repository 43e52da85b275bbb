"""The settings in each client's own words, read back by the clients' own rules where these are at hand."""

from __future__ import annotations

import configparser
import os
import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from mlabhub.site import Site, apt, clients
from mlabhub.site.authorities import read_certificates
from mlabhub.site.inside import make_environment, make_folder, make_places, wants_apt, write_apt_files
from mlabhub.supervisor.tls import write_authorities

SITE = Site(
    debian_mirror="http://m.lab/debian",
    pip_index_url="https://u:p%24@pypi.lab/simple",
    pip_extra_index_url=("https://a.lab/s", "https://b.lab/s"),
    pip_trusted_host=("a.lab",),
    npm_registry="https://npm.lab/",
    conda_mirror="https://m.lab/anaconda/",
    conda_channels=("conda-forge", "https://m.lab/ours"),
    registry_mirrors=(
        ("docker.io", "http://r.lab:5000/hub"),
        ("docker.io", "https://s.lab"),
        ("ghcr.io", "https://g.lab"),
    ),
    git_rewrites=(("https://github.com/", "https://git.lab/github/"), ("git@github.com:", "https://git.lab/github/")),
    http_proxy="http://proxy.lab:3128",
    no_proxy=(".lab", "10.0.0.0/8"),
)
CA = "/x/ca.pem"
DEBIAN_12 = """\
Types: deb
URIs: http://deb.debian.org/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://deb.debian.org/debian-security
Suites: bookworm-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: https://vendor.example/debian
Suites: nodistro
Components: main
"""
RELEASE_12 = "ID=debian\nVERSION_CODENAME=bookworm\n"


def test_nothing_set_is_nothing_said():
    site = Site()
    assert make_folder(site, "") == {}
    assert clients.make_registries_conf(site) == ""
    assert make_environment(site, (), ca="", direct=("10.0.0.1",)) == {}


def test_time_zone_and_language_are_variables() -> None:
    site = Site(time_zone="Asia/Shanghai", language="zh_CN.UTF-8")
    assert make_environment(site, (), ca="") == {"TZ": "Asia/Shanghai", "LANG": "zh_CN.UTF-8"}
    assert make_places(Path("/none"), (), None) == {}
    assert not wants_apt(site)


def test_pip():
    parser = configparser.RawConfigParser()
    parser.read_string(clients.make_pip_conf(SITE, CA))
    assert dict(parser["global"]) == {
        "index-url": "https://u:p%24@pypi.lab/simple",
        "extra-index-url": "\nhttps://a.lab/s\nhttps://b.lab/s",
        "trusted-host": "\na.lab",
        "cert": CA,
    }


def test_npm():
    assert clients.make_npmrc(SITE, CA).splitlines()[1:] == ["registry=https://npm.lab/", f"cafile={CA}"]


def test_conda():
    assert dict(YAML(typ="safe").load(clients.make_condarc(SITE, CA))) == {
        "channels": ["conda-forge", "https://m.lab/ours"],
        "default_channels": ["https://m.lab/anaconda/pkgs/main", "https://m.lab/anaconda/pkgs/r"],
        "channel_alias": "https://m.lab/anaconda/cloud",
        "ssl_verify": CA,
    }


def test_git_reads_it_and_the_other_file_wins(tmp_path: Path):
    (tmp_path / "other").write_text("[http]\n\tsslCAInfo = other\n")
    (tmp_path / "config").write_text(clients.make_gitconfig(SITE, CA, also=str(tmp_path / "other")))
    environment = {**os.environ, "GIT_CONFIG_SYSTEM": str(tmp_path / "config"), "HOME": str(tmp_path)}
    environment.pop("GIT_SSL_CAINFO", None)

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], env=environment, capture_output=True, text=True, check=True, cwd=tmp_path
        ).stdout.strip()

    assert git("config", "--get-all", "url.https://git.lab/github/.insteadof").splitlines() == [
        "https://github.com/",
        "git@github.com:",
    ]
    assert git("config", "http.sslcainfo") == "other"


def test_apt_reads_it(tmp_path: Path):
    (tmp_path / "apt.conf").write_text(clients.make_apt_conf(SITE, CA))
    dump = subprocess.run(
        ["apt-config", "dump"], env={**os.environ, "APT_CONFIG": str(tmp_path / "apt.conf")},
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert 'Acquire::http::Proxy "http://proxy.lab:3128";' in dump
    assert 'Acquire::http::Proxy::m.lab "DIRECT";' in dump
    assert 'Acquire::https::Proxy "DIRECT";' in dump
    assert f'Acquire::https::CaInfo "{CA}";' in dump


def test_registries():
    assert clients.make_registries_conf(SITE).splitlines()[1:] == [
        'unqualified-search-registries = ["docker.io"]', "",
        "[[registry]]", 'prefix = "docker.io"', 'location = "docker.io"', "",
        "[[registry.mirror]]", 'location = "r.lab:5000/hub"', "insecure = true", "",
        "[[registry.mirror]]", 'location = "s.lab"', "",
        "[[registry]]", 'prefix = "ghcr.io"', 'location = "ghcr.io"', "",
        "[[registry.mirror]]", 'location = "g.lab"',
    ]  # fmt: skip


def test_the_hub_is_never_reached_by_the_proxy():
    environment = make_environment(SITE, ["npmrc", "gitconfig"], ca=CA, direct=("10.90.3.1", "", "10.90.0.0/16"))
    assert environment["http_proxy"] == environment["HTTP_PROXY"] == "http://proxy.lab:3128"
    assert "https_proxy" not in environment
    assert environment["no_proxy"] == "localhost,127.0.0.1,::1,10.90.3.1,10.90.0.0/16,.lab,10.0.0.0/8"
    assert environment["NO_PROXY"] == environment["no_proxy"]
    assert environment["GIT_CONFIG_SYSTEM"] == "/run/mlabhub/site/gitconfig"
    assert {name for name, value in environment.items() if value == CA} == set(clients.CA_VARIABLES)


@pytest.mark.parametrize(
    ("url", "direct"),
    [
        ("http://m.lab/x", True),
        ("http://lab/x", True),
        ("http://slab/x", False),
        ("http://localhost:1/", True),
        ("http://[::1]:1/", True),
        ("https://pypi.org/", False),
    ],
)
def test_whether_an_address_goes_by_the_proxy(url: str, direct: bool):
    assert clients.is_direct(SITE, url) is direct


def test_only_the_distributions_own_sources_become_the_mirrors(tmp_path: Path):
    files = {
        "/usr/lib/os-release": RELEASE_12.encode(),
        "/etc/apt/sources.list.d/debian.sources": DEBIAN_12.encode(),
        "/etc/apt/sources.list.d/vendor.list": b"deb https://vendor.example/debian bookworm vendor\n",
        "/etc/apt/sources.list.d/alike.list": b"deb https://vendor.example/debian/12/prod bookworm main\n",
        "/etc/apt/apt.conf.d/01x": b"",
    }
    places = write_apt_files(tmp_path, files, SITE)
    assert places is not None
    [(file, target)] = places.items()
    assert target == "/etc/apt/sources.list.d/debian.sources"
    sources = list(apt.parse_stanzas(Path(file).read_text()))
    assert [(source.uri, source.suite) for source in sources] == [
        ("http://m.lab/debian", "bookworm"),
        ("http://m.lab/debian", "bookworm-updates"),
        ("http://deb.debian.org/debian-security", "bookworm-security"),
        ("https://vendor.example/debian", "nodistro"),
    ]
    assert sources[0].keyring == "/usr/share/keyrings/debian-archive-keyring.gpg"
    assert write_apt_files(tmp_path, files, SITE) == places


@pytest.mark.parametrize(
    "files",
    [
        pytest.param({"/usr/lib/os-release": b"ID=debian\nVERSION_CODENAME=bookworm\n"}, id="no apt"),
        pytest.param({}, id="nothing"),
    ],
)
def test_an_image_without_apt_gets_nothing_for_it(tmp_path: Path, files: dict[str, bytes]):
    assert write_apt_files(tmp_path, files, SITE) is None
    assert "/etc/apt/apt.conf.d/00mlabhub-site" not in make_places(tmp_path, ["apt.conf"], None).values()


def test_another_distribution_keeps_its_own(tmp_path: Path):
    files = {
        "/usr/lib/os-release": b"ID=ubuntu\nVERSION_CODENAME=noble\n",
        "/etc/apt/sources.list": b"deb http://archive.ubuntu.com/ubuntu noble main\n",
    }
    assert write_apt_files(tmp_path, files, SITE) == {}
    places = make_places(tmp_path, ["apt.conf", "pip/pip.conf"], {})
    assert places == {
        str(tmp_path): "/run/mlabhub/site",
        str(tmp_path / "pip/pip.conf"): "/etc/xdg/pip/pip.conf",
        str(tmp_path / "apt.conf"): "/etc/apt/apt.conf.d/00mlabhub-site",
    }


def test_ubuntus_security_follows_its_mirror():
    site = Site(ubuntu_mirror="http://m.lab/ubuntu", apt_keyring="/k.gpg")
    assert [source.uri for source in apt.site_sources(site, "ubuntu", "noble")] == ["http://m.lab/ubuntu"] * 3
    assert apt.site_sources(site, "debian", "bookworm") == ()
    text = apt.format_sources(apt.site_sources(site, "ubuntu", "noble", "/k.gpg"))
    assert text.splitlines()[2] == "deb [signed-by=/k.gpg] http://m.lab/ubuntu noble-security main universe"


def test_bundles_have_each_certificate_once(tmp_path: Path):
    one, two = (f"-----BEGIN CERTIFICATE-----\n{name}\n-----END CERTIFICATE-----\n" for name in ("AA", "BB"))
    (tmp_path / "a").write_text(f"remark\n{one}")
    (tmp_path / "b").write_text(one + two)
    assert read_certificates([tmp_path / "a", None, tmp_path / "none", str(tmp_path / "b")]).decode() == one + two


def test_who_is_trusted_is_written_only_where_somebody_was_named(tmp_path: Path):
    target, company = tmp_path / "ca.pem", tmp_path / "company.pem"
    company.write_text("-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----\n")
    write_authorities(None, str(company), target)
    assert target.read_text().endswith(company.read_text())
    write_authorities(None, "", target)
    assert not target.exists()
