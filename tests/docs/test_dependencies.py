"""Each dependency that was chosen by us has its line, with the reason, in the documentation."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from tests.docs.pages import CHECKOUT, DOCS

PAGE = DOCS / "explanation" / "dependencies.md"

OURS = {"mlabhub-proxies"}
"""What one of our own packages asks of another."""


def _requirement(text: str) -> str:
    return re.split(r"[\s<>=!~;\[]", text, maxsplit=1)[0].lower().replace("_", "-")


def _arrays(text: str, header: str) -> Iterator[str]:
    """Yield the strings of the arrays in one table of a TOML file (Python 3.10 has no reader for it)."""
    section = re.split(r"^\[", text.split(f"[{header}]\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]
    for array in re.findall(r"^[\w-]+ = \[(.*?)\]$", section, re.MULTILINE | re.DOTALL):
        yield from re.findall(r'"([^"]+)"', array)


def python_packages() -> set[str]:
    """Return what each pyproject.toml and the images ask for by name."""
    asked = list(_arrays((CHECKOUT / "pyproject.toml").read_text(), "project.optional-dependencies"))
    for file in (CHECKOUT / "pyproject.toml", *CHECKOUT.glob("extensions/*/pyproject.toml")):
        project = file.read_text().split("[project]\n", 1)[1]
        asked += re.findall(r'"([^"]+)"', re.search(r"^dependencies = \[(.*?)^\]", project, re.M | re.S)[1])  # type: ignore[index]
    for file in (*CHECKOUT.glob("images/**/*.in"), *CHECKOUT.glob("requirements/*.in")):
        asked += [line for line in file.read_text().splitlines() if line and line[0] not in "#-"]
    return {_requirement(text) for text in asked} - OURS


def npm_packages() -> set[str]:
    """Return what each package.json asks for; `lock` writes code-server's other one."""
    files = ("setup/proxy", "setup/pages", "extensions/proxies", "extensions/lab", "images/base/code-server")
    found = [json.loads((CHECKOUT / file / "package.json").read_text()) for file in files]
    return {name for asked in found for name in (*asked["dependencies"], *asked.get("devDependencies", ()))}


def debian_packages() -> set[str]:
    """Return what setting up and the images install from the distribution."""
    name = r"[a-z0-9][a-z0-9.+-]+"
    found: set[str] = set()
    for parts in re.findall(r"_PARTS=\((.*?)\)", (CHECKOUT / "setup" / "lib" / "system.sh").read_text(), re.DOTALL):
        found |= set(re.findall(rf"({name}):\S", parts))
    for file in CHECKOUT.glob("images/*/Containerfile"):
        for call in re.findall(rf"apt-install((?:\s+\\\n|\s+{name})+)", file.read_text()):
            found |= set(re.findall(name, call))
    return found


@pytest.mark.parametrize("package", sorted(python_packages() | npm_packages() | debian_packages()))
def test_has_its_line(package: str) -> None:
    assert re.search(rf"^\| [^|]*`{re.escape(package)}`[^|]*\| .{{10,}} \|$", PAGE.read_text(), re.M), package


def test_something_was_found() -> None:
    assert {"jupyterhub", "pydantic", "pytest"} <= python_packages()
    assert {"python3", "sudo", "podman"} <= debian_packages()
