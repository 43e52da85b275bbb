"""Real clients on this machine, with the settings alone: pip, npm, git and apt reach the mirrors by proxy and CA."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mlabhub.site import apt, read_site_file
from mlabhub.site.file import SiteFile
from mlabhub.site.inside import make_environment, make_folder
from tests.site.mirrors import Site

CHECKOUT = Path(__file__).resolve().parents[2]


def read(lab: Site, folder: Path, **more: str) -> SiteFile:
    """Write site.conf and read it."""
    (folder / "site.conf").write_text(lab.text(**more))
    found = read_site_file(folder / "site.conf")
    assert found.faults == ()
    return found


@pytest.fixture
def environment(lab: Site, tmp_path: Path) -> dict[str, str]:
    """Return the environment of a person whose home is empty, as an environment of ours would have it."""
    site, folder = read(lab, tmp_path).site, tmp_path / "site"
    files = make_folder(site, str(lab.ca_file))
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    home = tmp_path / "home"
    home.mkdir()
    plain = {"PATH": os.environ["PATH"], "HOME": str(home), "XDG_CONFIG_DIRS": str(folder)}
    return {**plain, **make_environment(site, files, ca=str(lab.ca_file), folder=str(folder))}


def run(environment: dict[str, str], *command: str, status: int = 0) -> str:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_pip(lab: Site, environment: dict[str, str], tmp_path: Path):
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-cache-dir")
    run(environment, *pip, "install", "--target", str(tmp_path / "there"), "site-hello")
    assert (tmp_path / "there" / "site_hello.py").exists()
    assert set(lab.asked) == {"pypi.test"}


def test_what_people_set_themselves_wins(lab: Site, environment: dict[str, str]):
    own = Path(environment["HOME"], ".config", "pip")
    own.mkdir(parents=True)
    (own / "pip.conf").write_text("[global]\nindex-url = https://own.lab/simple\n")
    shown = run(environment, sys.executable, "-m", "pip", "config", "get", "global.index-url")
    assert shown.strip() == "https://own.lab/simple"
    Path(environment["HOME"], ".npmrc").write_text("registry=https://own.lab/\n")
    assert run(environment, *npm(), "config", "get", "registry").strip() == "https://own.lab/"
    Path(environment["HOME"], ".gitconfig").write_text("[http]\n\tsslCAInfo = own\n")
    assert run(environment, "git", "config", "http.sslcainfo").strip() == "own"


def test_npm(lab: Site, environment: dict[str, str]):
    Path(environment["HOME"], "package.json").write_text("{}")
    run(environment, *npm(), "install", "--no-audit", "--no-fund", "--prefix", environment["HOME"], "site-hello")
    assert Path(environment["HOME"], "node_modules", "site-hello", "package.json").exists()
    assert set(lab.asked) == {"npm.test"}


def npm() -> tuple[str, ...]:
    """Return how to call npm: the machine's, or the one of the Node that set-up brought."""
    own = shutil.which("npm")
    if own:
        return (own,)
    node = (CHECKOUT / ".node" / "bin" / "node").resolve()
    return (str(node), str(node.parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"))


def test_git(lab: Site, environment: dict[str, str], tmp_path: Path):
    run(environment, "git", "clone", "-q", "https://github.com/site-hello.git", str(tmp_path / "clone"))
    assert (tmp_path / "clone" / "hello").read_text() == "hello from the mirror\n"
    assert set(lab.asked) == {"git.test"}


def apt_options(folder: Path) -> tuple[str, ...]:
    """Return options that keep apt's lists and caches in a folder."""
    for name in ("lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    places = (f"Dir::State::lists={folder}/lists", f"Dir::Cache={folder}/cache", "APT::Sandbox::User=root")
    return tuple(part for place in places for part in ("-o", place))


def test_set_up_uses_it_all_and_changes_nothing_of_the_machine(lab: Site, tmp_path: Path):
    """The shell's part: apt, pip and npm as set-up calls them, before there is a Python of ours."""
    read(lab, tmp_path)
    (tmp_path / "os-release").write_text("ID=debian\nVERSION_CODENAME=bookworm\n")
    (tmp_path / "cache").mkdir()
    shown = tmp_path / "environment"
    script = f"""
set -euo pipefail
CHECKOUT={CHECKOUT} CACHE={tmp_path}/cache OS_RELEASE={tmp_path}/os-release
fail() {{ echo "$*" >&2; exit 9; }}
. {CHECKOUT}/setup/lib/site.sh
use_site
sed -i s,$SITE_APT_CA,$CACHE/ca.pem, "$CACHE/apt/apt.conf"
apt-get "${{APT_OPTIONS[@]}}" {" ".join(apt_options(tmp_path / "apt"))} -q update
apt-get "${{APT_OPTIONS[@]}}" {" ".join(apt_options(tmp_path / "apt"))} -q download site-hello
{sys.executable} -m pip download -q --no-cache-dir --dest . site-hello
{" ".join(npm())} view site-hello version
env >{shown}
"""
    before = {str(file): file.stat().st_mtime for file in Path("/etc/apt").rglob("*")}
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "MLABHUB_SITE": str(tmp_path / "site.conf")}
    done = subprocess.run(
        ["bash", "-c", script], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=90
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert list(tmp_path.glob("site-hello*.deb"))
    assert list(tmp_path.glob("site_hello*.whl"))
    assert "1.0.0" in done.stdout
    assert set(lab.asked) == {"deb.test", "pypi.test", "npm.test"}
    assert before == {str(file): file.stat().st_mtime for file in Path("/etc/apt").rglob("*")}
    assert "sesame" not in done.stdout + done.stderr
    assert (tmp_path / "cache" / "apt").stat().st_mode & 0o077 == 0


def test_a_faulty_file_stops_set_up_at_once(tmp_path: Path):
    (tmp_path / "site.conf").write_text("PIP_INDEX_URL=$(touch executed)\n")
    script = f'CHECKOUT={CHECKOUT} CACHE={tmp_path}; fail() {{ echo "$*" >&2; exit 9; }}'
    script += f"; . {CHECKOUT}/setup/lib/site.sh; use_site"
    environment = {"PATH": os.environ["PATH"], "MLABHUB_SITE": str(tmp_path / "site.conf")}
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 9
    assert f"{tmp_path}/site.conf:1: PIP_INDEX_URL: " in done.stderr
    assert not (tmp_path / "executed").exists()


def test_the_mirrors_sources_are_what_a_parent_is_made_from(lab: Site, tmp_path: Path):
    site = read(lab, tmp_path).site
    text = apt.format_sources(apt.site_sources(site, "debian", "bookworm", site.apt_keyring))
    assert text.splitlines() == [
        f"deb [signed-by={lab.keyring}] http://deb.test/debian bookworm main",
        f"deb [signed-by={lab.keyring}] http://deb.test/debian bookworm-updates main",
        f"deb [signed-by={lab.keyring}] https://deb.test/security bookworm-security main",
    ]
