"""When a page asks for the line to its server, and tells that it is used: the scripts alone, by Node's test runner."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
STATIC = CHECKOUT / "extensions/proxies/mlabhub_proxies/static"


def test_line_and_use(tmp_path: Path) -> None:
    (tmp_path / "package.json").write_text('{"type": "module"}')
    units = Path(__file__).with_name("line_units.js")
    for script in (*(STATIC / name for name in ("ask.js", "line.js", "use.js")), units):
        shutil.copy(script, tmp_path)
    done = subprocess.run(
        [CHECKOUT / ".node/bin/node", "--test", units.name], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
