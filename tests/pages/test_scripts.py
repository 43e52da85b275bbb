"""What browsers load: all scripts of all pages together are small, and nothing of them has to be fetched elsewhere."""

from __future__ import annotations

import gzip
import re

from mlabhub.service.pages import STATIC_DIR
from mlabhub_proxies.base import STATIC
from tests.pages.site import HUB_STATIC

MOST_BYTES = 200_000
OF_THE_HUB = ("js/darkmode.js", "components/bootstrap/dist/js/bootstrap.bundle.min.js")


def test_all_scripts_together_are_small() -> None:
    own = sorted(STATIC_DIR.rglob("*.js"))
    assert any(one.name == "uPlot.iife.min.js" for one in own), "setup/prepare has not put it there"
    files = [*own, *(HUB_STATIC / one for one in OF_THE_HUB)]
    sizes = {one.name: len(gzip.compress(one.read_bytes())) for one in files}
    assert sum(sizes.values()) < MOST_BYTES, sizes


def test_the_doctor_and_the_page_of_a_server_try_the_same() -> None:
    assert (STATIC_DIR / "trials.js").read_bytes() == (STATIC / "trials.js").read_bytes()


def test_scripts_import_what_is_beside_them() -> None:
    for file in STATIC_DIR.glob("*.js"):
        for name in re.findall(r'^import .*?["\'](.+?)["\'];', file.read_text(), re.MULTILINE):
            assert name.startswith("./"), f"{file.name} imports {name}"
            assert (file.parent / name).is_file(), f"{file.name} imports {name}"
