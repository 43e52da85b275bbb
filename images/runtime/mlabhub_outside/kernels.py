"""Kernels for notebooks: the image's own Python first, and whatever other kernels the image brings.

Guarantees: the image's Python is asked as the user, never as root; one that cannot be asked costs seconds and is left
out; without any, notebooks run in our own interpreter.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mlabhub_outside.environment import restored

HERE = Path("/opt/mlabhub")
WRAPPER = (str(HERE / "bin/python3"), "-I", "-m", "mlabhub_outside.run")
ANSWER_SECONDS = 20
USUAL_PLACES = ("/opt/conda/bin", "/opt/venv/bin", "/usr/local/bin", "/usr/bin")

PROBE = """
import json, sys
version = "%d.%d" % sys.version_info[:2]
def has(name):
    try:
        import importlib.util
        return importlib.util.find_spec(name) is not None
    except Exception:
        return False
own, added = has("ipykernel"), False
if not own:
    sys.path.insert(0, sys.argv[1] + "/" + version)
    try:
        import psutil, tornado, zmq, ipykernel
        added = True
    except Exception:
        pass
print(json.dumps({"version": version, "prefix": sys.prefix, "own": own, "added": added}))
"""


@dataclass(frozen=True)
class ImagePython:
    """A Python of the image. ``own``: it has ipykernel; ``added``: ours works in it."""

    path: str
    version: str
    prefix: str
    own: bool
    added: bool

    @property
    def usable(self) -> bool:
        """Whether notebooks can run in it."""
        return self.own or self.added


def candidates(environ: Mapping[str, str]) -> Iterator[str]:
    """Yield the image's interpreters, likeliest first."""
    prefixes = (environ.get("VIRTUAL_ENV"), environ.get("CONDA_PREFIX"))
    folders = [f"{prefix}/bin" for prefix in prefixes if prefix]
    folders += [*environ.get("PATH", "").split(":"), *USUAL_PLACES]
    seen = set()
    for folder in folders:
        for name in ("python3", "python"):
            path = shutil.which(name, path=folder) if folder.startswith("/") else None
            if path and not path.startswith(f"{HERE}/") and path not in seen:
                seen.add(path)
                yield path


def ask(path: str, environ: Mapping[str, str]) -> ImagePython | None:
    """Return what an interpreter says about itself; None if it does not answer."""
    command = [path, "-c", PROBE, str(HERE / "kernel")]
    try:
        answer = subprocess.run(
            command,
            env=dict(environ),
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=ANSWER_SECONDS,
            check=True,
        )
        return ImagePython(path, **json.loads(answer.stdout.splitlines()[-1]))
    except (OSError, subprocess.SubprocessError, ValueError, TypeError, IndexError):
        return None


def find_python(environ: Mapping[str, str]) -> ImagePython | None:
    """Return the first Python of the image that notebooks can run in."""
    asked = (ask(path, environ) for path in candidates(environ))
    return next((found for found in asked if found and found.usable), None)


def make_kernel(python: ImagePython) -> dict[str, object]:
    """Return the kernel's specification."""
    if python.own:
        command = [python.path, "-m", "ipykernel_launcher"]
    else:
        command = [python.path, str(HERE / "kernel/launch.py"), str(HERE / "kernel" / python.version)]
    return {
        "argv": [*WRAPPER, *command, "-f", "{connection_file}"],
        "display_name": f"Python {python.version}",
        "language": "python",
        "metadata": {"debugger": False},
    }


def wrapped(spec: Mapping[str, object]) -> dict[str, object]:
    """Return a specification of the image's own, so that its program gets the image's environment."""
    argv = spec["argv"]
    if not isinstance(argv, list) or not all(isinstance(part, str) for part in argv):
        raise ValueError("argv must be a list of texts")
    return {**spec, "argv": [*WRAPPER, *argv]}


def write_kernels(folder: Path, environ: Mapping[str, str]) -> None:
    """Write specifications of all kernels of the image below ``folder``."""
    own_environment = restored(environ)
    python = find_python(own_environment)
    shares = [Path("/usr/share/jupyter"), Path("/usr/local/share/jupyter")]
    shares += [Path(python.prefix) / "share/jupyter"] if python else []
    for file in (file for share in shares for file in sorted(share.glob("kernels/*/kernel.json"))):
        try:
            _write(folder, file.parent.name, wrapped(json.loads(file.read_text())), file.parent)
        except (OSError, ValueError, KeyError, TypeError):
            continue
    if python:
        _write(folder, "python3", make_kernel(python))


def _write(folder: Path, name: str, spec: Mapping[str, object], icons: Path | None = None) -> None:
    place = folder / "kernels" / name
    place.mkdir(parents=True, exist_ok=True)
    for icon in icons.glob("logo-*") if icons else ():
        if icon.is_file() and os.access(icon, os.R_OK):
            shutil.copyfile(icon, place / icon.name)
    (place / "kernel.json").write_text(json.dumps(spec))
