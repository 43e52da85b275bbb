"""Which tools a server offers: those that its profile allows and its image has."""

from __future__ import annotations

import pytest

from mlabhub_proxies.parts import TOOLS
from mlabhub_proxies.tools import Environ, Tool, offered_tools


def make(slug: str, *, found: bool = True) -> Tool:
    """Return a tool that is in the image, or not."""

    def find(environ: Environ) -> str | None:
        return f"/bin/{slug}" if found else None

    return Tool(slug, slug, "", f"{slug}/", find)


ALL = (make("lab"), make("vscode"), make("desktop", found=False))


@pytest.mark.parametrize(
    ("environ", "offered"),
    [
        ({}, ["lab", "vscode"]),
        ({"MLABHUB_TOOLS": "vscode,lab"}, ["lab", "vscode"]),
        ({"MLABHUB_TOOLS": " vscode , unknown,,"}, ["vscode"]),
        ({"MLABHUB_TOOLS": "desktop"}, []),
        ({"MLABHUB_TOOLS": ""}, []),
    ],
)
def test_offered(environ: dict[str, str], offered: list[str]) -> None:
    found = offered_tools(ALL, environ)
    assert [tool.slug for tool in found] == offered
    assert all(program == f"/bin/{tool.slug}" for tool, program in found.items())


def test_every_tool_is_whole() -> None:
    assert len({tool.slug for tool in TOOLS}) == len(TOOLS)
    assert len({tool.route for tool in TOOLS}) == len(TOOLS)
    for tool in TOOLS:
        assert tool.icon.read_text().startswith("<svg ")
        assert tool.sentence.endswith(".")
        assert tool.program is None or tool.program.hint.endswith((".", ".)"))
        assert tool.program is None or 0 < tool.program.typical_seconds < tool.program.longest_seconds
