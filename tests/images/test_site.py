"""What is read from this machine's clients, and what of it reaches a build: everything, for one step only."""

from __future__ import annotations

import io
import mmap
import shutil
import tarfile
from pathlib import Path

import pytest

from mlabhub.images import build_images, load_recipes
from mlabhub.images.program import Program
from mlabhub.images.recipes import IMAGES_DIR
from mlabhub.images.site import BuildSite, make_archive, read_ca, read_npm, read_pip, read_proxies, read_site
from mlabhub.site import InvalidSite, apt

CERTIFICATE = "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n"


def unpack(archive: bytes) -> dict[str, str]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as found:
        return {member.name: (found.extractfile(member) or io.BytesIO()).read().decode() for member in found}


def test_a_machine_without_anything_says_nothing():
    assert unpack(make_archive(BuildSite())) == {"environment": ""}


def test_proxies_are_known_in_both_spellings():
    assert read_proxies({"HTTPS_PROXY": "http://p:3128", "no_proxy": "lab"}) == {
        "https_proxy": "http://p:3128",
        "HTTPS_PROXY": "http://p:3128",
        "no_proxy": "lab",
        "NO_PROXY": "lab",
    }


def test_pip_reads_files_and_environment(tmp_path: Path):
    (tmp_path / ".pip").mkdir()
    (tmp_path / ".pip" / "pip.conf").write_text("[global]\nindex-url = http://first/simple\ntimeout = 7\n")
    (tmp_path / ".config" / "pip").mkdir(parents=True)
    (tmp_path / ".config" / "pip" / "pip.conf").write_text(
        "[install]\ntrusted-host = a\n  b\nindex_url = http://second\n"
    )
    found = read_pip({"HOME": str(tmp_path), "XDG_CONFIG_DIRS": str(tmp_path / "none")})
    assert found["PIP_INDEX_URL"] == "http://second"
    assert found["PIP_TRUSTED_HOST"] == "a b"
    assert found["PIP_DEFAULT_TIMEOUT"] == "7"
    found = read_pip({"HOME": str(tmp_path), "PIP_INDEX_URL": "http://third"})
    assert found["PIP_INDEX_URL"] == "http://third"


def test_a_broken_pip_conf_is_pips_to_complain_about(tmp_path: Path):
    (tmp_path / "pip.conf").write_text("index-url = without a section")
    assert "PIP_INDEX_URL" not in read_pip({"HOME": "/nonexistent", "PIP_CONFIG_FILE": str(tmp_path / "pip.conf")})


def test_npm_reads_environment_and_file(tmp_path: Path):
    (tmp_path / ".npmrc").write_text('fund=false\nregistry = "http://npm.lab/"\n')
    assert read_npm({"HOME": str(tmp_path)}) == {"npm_config_registry": "http://npm.lab/"}
    assert read_npm({"HOME": str(tmp_path), "npm_config_registry": "http://x"}) == {"npm_config_registry": "http://x"}


def test_certificates_of_all_bundles_are_taken_once(tmp_path: Path):
    system, company = tmp_path / "system.pem", tmp_path / "company.pem"
    system.write_text("# a comment\n" + CERTIFICATE.format("AAAA") + CERTIFICATE.format("BBBB"))
    company.write_text(CERTIFICATE.format("BBBB") + CERTIFICATE.format("CCCC"))
    environ = {"PIP_CERT": str(company), "SSL_CERT_FILE": str(tmp_path / "absent.pem")}
    assert read_ca(environ, system).decode() == "".join(map(CERTIFICATE.format, ("AAAA", "BBBB", "CCCC")))


def test_values_are_quoted_for_the_shell():
    environment = unpack(make_archive(BuildSite(environment={"PIP_INDEX_URL": "http://u:p'$(id)@h/"})))["environment"]
    assert environment == "export PIP_INDEX_URL='http://u:p'\"'\"'$(id)@h/'\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            "deb http://m/debian bookworm main contrib\n",
            [apt.Source("http://m/debian", "bookworm", ("main", "contrib"))],
            id="plain",
        ),
        pytest.param(
            "deb [arch=amd64 signed-by=/k.gpg trusted=yes] http://m/d bookworm main # ours\n",
            [apt.Source("http://m/d", "bookworm", ("main",), "/k.gpg", trusted=True)],
            id="options",
        ),
        pytest.param("# deb http://m/debian bookworm main\ndeb-src http://m/debian bookworm main\n", [], id="none"),
    ],
)
def test_sources_list_is_read(text: str, expected: list[apt.Source]):
    assert list(apt.parse_list(text)) == expected


def test_stanzas_are_read():
    text = """\
# of this machine
Types: deb deb-src
URIs: http://a/debian http://b/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Enabled: no
Types: deb
URIs: http://c/debian
Suites: bookworm
Components: main
"""
    found = list(apt.parse_stanzas(text))
    assert [(source.uri, source.suite) for source in found] == [
        ("http://a/debian", "bookworm"),
        ("http://a/debian", "bookworm-updates"),
        ("http://b/debian", "bookworm"),
        ("http://b/debian", "bookworm-updates"),
    ]


@pytest.mark.parametrize(
    ("suite", "components", "own"),
    [
        ("bookworm", ("main",), True),
        ("bookworm-updates", ("main", "contrib"), True),
        ("bookworm-security", ("main",), True),
        ("bookworm", ("stable",), False),
        ("bookworm-pgdg", ("main",), False),
        ("nodistro", ("main",), False),
        ("trixie", ("main",), False),
        ("/", (), False),
    ],
)
def test_vendors_repositories_are_left_out(suite: str, components: tuple[str, ...], own: bool):
    assert apt.is_own(apt.Source("http://m", suite, components), "bookworm") is own


def test_a_mirrors_own_key_goes_along(tmp_path: Path):
    key = tmp_path / "mirror.gpg"
    key.write_text("key")
    source = apt.Source("http://m/d", "bookworm", ("main",), str(key))
    files = apt.make_files(apt.AptSite("debian", "bookworm", (source,), ()), place="/run/site", ca="/run/site/ca.pem")
    place = b"/run/site/apt-debian-bookworm/mirror.gpg"
    assert files == {
        "apt.conf": b'Acquire::https::CaInfo "/run/site/ca.pem";\n',
        "apt-debian-bookworm/sources.list": b"deb [signed-by=%s] http://m/d bookworm main\n" % place,
        "apt-debian-bookworm/mirror.gpg": b"key",
    }


def test_the_sites_file_wins_over_the_machine_client_by_client(tmp_path: Path):
    file = tmp_path / "site.conf"
    file.write_text("PIP_INDEX_URL=http://site/simple\nHTTP_PROXY=http://proxy:1\nDEBIAN_MIRROR=http://m/debian\n")
    machine = {
        "HOME": "/nonexistent",
        "PIP_INDEX_URL": "http://machine",
        "PIP_EXTRA_INDEX_URL": "http://more",
        "PIP_DEFAULT_TIMEOUT": "9",
        "https_proxy": "http://old",
        "npm_config_registry": "http://npm",
        "MLABHUB_SITE": str(file),
    }
    found = read_site(machine)
    kept = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_DEFAULT_TIMEOUT", "npm_config_registry", "http_proxy")
    assert {name: found.environment.get(name) for name in (*kept, "https_proxy")} == {
        "PIP_INDEX_URL": "http://site/simple",
        "PIP_EXTRA_INDEX_URL": None,
        "PIP_DEFAULT_TIMEOUT": "9",
        "npm_config_registry": "http://npm",
        "http_proxy": "http://proxy:1",
        "https_proxy": None,
    }
    files = unpack(make_archive(found))
    assert files["apt-debian-trixie/sources.list"].splitlines()[0] == "deb http://m/debian trixie main"
    assert 'Acquire::http::Proxy "http://proxy:1";' in files["apt.conf"]
    file.write_text("GIT_REWRITES=https://g/=https://h/\nCONDA_CHANNELS=ours\n")
    found = read_site(machine)
    assert found.environment["PIP_INDEX_URL"] == "http://machine"
    assert found.environment["https_proxy"] == "http://old"
    files = unpack(make_archive(found))
    assert "insteadOf" in files["git_config_system"]
    assert "export CONDARC=/run/mlabhub-site/condarc\n" in files["environment"]
    file.write_text("NO_KEY=1\n")
    with pytest.raises(InvalidSite):
        read_site(machine)


@pytest.mark.engine
def test_a_build_sees_the_site_and_the_image_does_not(
    program: Program, recipes_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    mark = "sesame-opens-the-mirror"
    company = tmp_path / "company.pem"
    company.write_text(CERTIFICATE.format(mark))
    monkeypatch.setenv("PIP_CERT", str(company))
    settings = tmp_path / "site.conf"
    settings.write_text(
        f"PIP_INDEX_URL=http://user:{mark}@pip.lab/simple\nHTTPS_PROXY=http://user:{mark}@proxy:3128\n"
        f"DEBIAN_MIRROR=http://{mark}/debian\nGIT_REWRITES=https://github.com/=https://{mark}/\n"
    )
    monkeypatch.setenv("MLABHUB_SITE", str(settings))
    name = "mlabhub-test-site"
    (recipes_folder / "images.yaml").write_text(f"{name}: {{parent: '{load_recipes()['base'].parent}'}}\n")
    shutil.copytree(IMAGES_DIR / "base" / "build", recipes_folder / name / "build")
    (recipes_folder / name / "Containerfile").write_text(
        "ARG PARENT\nFROM ${PARENT}\nCOPY build /opt/mlabhub/build\n"
        "RUN --mount=type=secret,id=mlabhub-site /opt/mlabhub/build/with-site sh -c "
        f"'set -eu; case $PIP_INDEX_URL in *{mark[:6]}*) ;; *) exit 1 ;; esac; grep -q {mark[:6]} $PIP_CERT;"
        " test $https_proxy; apt-config dump | grep -q sourcelist.*/run/mlabhub-site/apt-debian-bookworm/sources.list;"
        f" grep -q {mark[:6]} /run/mlabhub-site/apt-debian-bookworm/sources.list;"
        f" grep -q {mark[:6]} $GIT_CONFIG_SYSTEM'\n"
    )
    reference = f"localhost/mlabhub/{name}:latest"
    try:
        build_images([name], no_cache=False, report=lambda _: None, folder=recipes_folder)
        assert mark not in program.run("history", "--no-trunc", reference)
        assert mark not in str(program.inspect(reference))
        saved = tmp_path / "image.tar"
        program.run("save", "--output", str(saved), reference)
        assert not contains(saved, mark.encode())
    finally:
        program.ask("rmi", "--force", reference)


def contains(archive: Path, mark: bytes) -> bool:
    """Tell whether an image's archive has the mark in its description or in any file of any layer."""
    with open(archive, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(mark) >= 0


def test_the_base_image_says_the_same_places():
    script = (IMAGES_DIR / "base" / "build" / "with-site").read_text()
    assert "site=/run/mlabhub-site\n" in script
    assert "secret=/run/secrets/mlabhub-site\n" in script
