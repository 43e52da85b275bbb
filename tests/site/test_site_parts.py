"""What a container gets of the site, and what it does not get of other people's images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from mlabhub.engine import ImageInfo
from mlabhub.site.file import read_site_file
from mlabhub.site.inside import CA_INSIDE, names_in, save_site
from mlabhub.spawners.site_parts import SiteParts
from tests.engine.podman import make_settings

SOURCES = b"deb http://deb.debian.org/debian bookworm main\ndeb https://alice:sesame@vendor.example/x stable main\n"


class OneImage:
    """As much of an engine as is asked: an image of alice's, whose sources have a password."""

    async def image(self, reference: str) -> ImageInfo:
        return ImageInfo("feed", (reference,), {}, {})

    async def image_files(self, reference: str, paths: Sequence[str]) -> dict[str, bytes]:
        release = b"ID=debian\nVERSION_CODENAME=bookworm\n"
        return {"/usr/lib/os-release": release, "/etc/apt/sources.list": SOURCES}


@pytest.fixture
def parts(tmp_path: Path) -> SiteParts:
    settings = make_settings(tmp_path, "0123abcd")
    settings.run_dir.mkdir()
    file = tmp_path / "site.conf"
    file.write_text("DEBIAN_MIRROR=http://mirror.lab/debian\nPIP_INDEX_URL=https://pypi.lab/simple\n")
    save_site(read_site_file(file), settings.run_dir, "")
    return SiteParts(settings, OneImage())  # type: ignore[arg-type]


def has_the_password(source: str) -> bool:
    files = [file for file in (Path(source), *Path(source).rglob("*")) if file.is_file()]
    return any("sesame" in file.read_text() for file in files)


async def test_one_images_sources_are_in_no_other_server(parts: SiteParts) -> None:
    places = await parts.places("alices", root=True)
    [mine] = [source for source, target in places.items() if target == "/etc/apt/sources.list"]
    assert has_the_password(mine)
    assert not any(has_the_password(source) for source in await parts.places("bobs", root=False))


@pytest.mark.parametrize("said", ["", "PIP_INDEX_URL=https://pypi.lab/simple\n"])
def test_nobody_is_led_to_authorities_that_the_file_does_not_name(said: str, tmp_path: Path) -> None:
    file = tmp_path / "site.conf"
    file.write_text(said)
    save_site(read_site_file(file), tmp_path, CA_INSIDE)
    assert names_in(tmp_path / "site") == (("pip/pip.conf",) if said else ())
    assert not any(CA_INSIDE in one.read_text() for one in tmp_path.rglob("*") if one.is_file())
