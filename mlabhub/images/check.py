"""Look into an image, ours or another's, for what a server needs.

Guarantees: the image is only read, without network, in a container that is gone afterwards; each thing it lacks comes
with what mends it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from mlabhub.errors import NotFound
from mlabhub.images.program import Program, find_program

QUESTIONS = """
test -x /opt/mlabhub/entry && echo entry=yes
test -x /usr/bin/python3 && echo python=$(/usr/bin/python3 -I -c 'import sys; print("%d.%d" % sys.version_info[:2])')
test -x /usr/bin/setpriv && echo setpriv=yes
test -x /bin/bash && echo bash=yes
command -v jupyterhub-singleuser >/dev/null && echo singleuser=$(jupyterhub-singleuser --version 2>/dev/null)
command -v jupyter-lab >/dev/null && echo lab=$(jupyter-lab --version 2>/dev/null)
command -v sudo >/dev/null && echo sudo=yes
locale -a 2>/dev/null | grep -qi '^en_US.utf-\\?8$' && echo locale=yes
grep -q '^mlab:' /etc/group && echo group=yes
exit 0
"""


@dataclass(frozen=True)
class Finding:
    """One thing an image needs. ``found`` is what it has; ``fix`` is empty where nothing needs to be done."""

    name: str
    needed: bool
    found: str | None
    fix: str = ""

    @property
    def ok(self) -> bool:
        """Whether the image can be used as it is in this respect."""
        return not self.fix


def check_image(reference: str) -> tuple[Finding, ...]:
    """Return what a server needs and what the image has of it. Raises `NotFound`, `EngineUnavailable`, `ImageError`."""
    with tempfile.TemporaryDirectory(prefix="mlabhub-engine-") as folder:
        program = find_program(Path(folder))
        if program.inspect(reference) is None:
            raise NotFound(
                f"{program.engine.kind} has no image {reference!r}. Fetch it with `{program.engine.kind} pull`, "
                "or build one of ours with `mlabhub image build`."
            )
        return assess(look_into(program, reference), hub=version("jupyterhub"))


def look_into(program: Program, reference: str) -> dict[str, str]:
    """Return the answers to `QUESTIONS` from inside the image."""
    options = ("--rm", "--network=none", "--user=0", "--entrypoint=/bin/sh")
    answer = program.run("run", *options, reference, "-c", QUESTIONS)
    return dict(line.split("=", 1) for line in answer.splitlines() if "=" in line)


def assess(facts: Mapping[str, str], *, hub: str) -> tuple[Finding, ...]:
    """Return the findings for what was seen in an image, for a hub of this version."""

    def finding(name: str, key: str, fix: str, *, needed: bool = True, good: Callable[[str], bool] = bool) -> Finding:
        found = facts.get(key)
        return Finding(name, needed, found, "" if found and good(found) else fix)

    def packages(*names: str) -> str:
        return f"in its Containerfile: RUN apt-get update && apt-get install -y {' '.join(names)}"

    major = hub.split(".")[0]
    return (
        finding("entry", "entry", "in its Containerfile: COPY images/base/entry /opt/mlabhub/entry"),
        finding("/usr/bin/python3", "python", packages("python3")),
        finding("setpriv", "setpriv", packages("util-linux")),
        finding("bash", "bash", packages("bash")),
        finding(
            "jupyterhub-singleuser",
            "singleuser",
            f"in its Containerfile: RUN pip install jupyterhub=={hub} jupyterlab (this hub is {hub})",
            good=lambda found: found.split(".")[0] == major,
        ),
        finding("JupyterLab", "lab", "in its Containerfile: RUN pip install jupyterlab"),
        finding("sudo", "sudo", f"profiles with sudo need it; {packages('sudo')}", needed=False),
        finding("locale en_US.UTF-8", "locale", f"texts may look wrong; {packages('locales')}", needed=False),
        finding(
            "group mlab",
            "group",
            "without it users cannot install Python packages; grow the image from localhost/mlabhub/base",
            needed=False,
        ),
    )
