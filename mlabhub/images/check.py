"""Look into an image, ours or another's, for what a server needs.

Guarantees: the image is only read, without network and without any capability, in a container that is gone afterwards;
of an outside image nothing is run but its own Python, as nobody; each thing that it lacks comes with what is added at
the start, or with what mends it.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mlabhub.core.quote import quote
from mlabhub.engine.runtime import INSIDE, PLACE, REFERENCE, architecture_of, brings_all
from mlabhub.errors import NotFound
from mlabhub.images.build import WORK_DIR, build_images
from mlabhub.images.program import ImageError, Program, Report, find_program
from mlabhub.images.recipes import PREFIX

ANSWER_SECONDS = 120

QUESTIONS = """
test -x /usr/bin/python3 && echo python=/usr/bin/python3
test -x /usr/bin/setpriv && echo setpriv=yes
test -x /bin/bash && echo bash=yes
command -v jupyterhub-singleuser >/dev/null && echo singleuser=$(jupyterhub-singleuser --version 2>/dev/null)
command -v jupyter-lab >/dev/null && echo lab=$(jupyter-lab --version 2>/dev/null)
python3 -c 'import ipykernel; print("kernel=ipykernel", ipykernel.__version__)' 2>/dev/null
test -x /opt/code-server/lib/node && echo vscode=yes
command -v sudo >/dev/null && echo sudo=yes
test -x /usr/sbin/sshd && echo sshd=yes
locale -a 2>/dev/null | grep -qi '^en_US.utf-\\?8$' && echo locale=yes
grep -q '^mlab:' /etc/group && echo group=yes
exit 0
"""
"""For an image that starts by our entry, and so has a shell."""


@dataclass(frozen=True)
class Finding:
    """One thing a server needs. ``found`` is what the image has; ``added``: what each start adds in its place.

    ``fix`` is empty where nothing needs to be done.
    """

    name: str
    needed: bool
    found: str | None
    fix: str = ""
    added: str = ""

    @property
    def ok(self) -> bool:
        """Whether the image can be used as it is in this respect."""
        return not self.fix


def check_image(reference: str, report: Report = lambda _: None) -> tuple[Finding, ...]:
    """Return what a server needs and what the image has of it. Raises `NotFound`, `EngineUnavailable`, `ImageError`."""
    with tempfile.TemporaryDirectory(prefix="mlabhub-engine-") as folder:
        program = find_program(Path(folder))
        image = program.inspect(reference)
        if image is None:
            raise NotFound(
                f"{program.engine.kind} has no image {quote(reference)}. Fetch it with `{program.engine.kind} pull`, "
                "or build one of ours with `mlabhub image build`."
            )
        config = image.get("Config") or {}
        outside = not brings_all(config)
        findings = list(assess_config(image, outside=outside))
        if all(finding.ok for finding in findings if finding.needed):
            facts = look_into(program, reference, report) if outside else ask(program, reference)
            findings += assess(facts, hub=version("jupyterhub"), outside=outside)
        return tuple(findings)


def ask(program: Program, reference: str) -> dict[str, Any]:
    """Return the answers to `QUESTIONS` from inside one of our own images."""
    options = ("--rm", "--network=none", "--user=0", "--entrypoint=/bin/sh")
    answer = program.run("run", *options, reference, "-c", QUESTIONS)
    return dict(line.split("=", 1) for line in answer.splitlines() if "=" in line)


def look_into(program: Program, reference: str, report: Report) -> dict[str, Any]:
    """Return what our interpreter, mounted into the image, sees in it."""
    with _bundle(program, report) as bundle:
        options = ["run", "--rm", "--network=none", "--cap-drop=all", "--security-opt=no-new-privileges"]
        options += ["--user=65534:65534", "--workdir=/", "--pids-limit=200", f"--volume={bundle}:{PLACE}:ro"]
        options += [f"--volume={bundle}/etc/empty:/etc/ld.so.preload:ro", "--memory=1g"]
        options += [f"--env={name}=" for name in ("LD_PRELOAD", "LD_LIBRARY_PATH", "PYTHONHOME", "PYTHONPATH")]
        options += [f"--entrypoint={PLACE}/bin/python3", reference, "-I", "-m", "mlabhub_outside.look"]
        try:
            done = subprocess.run(
                [program.path, *options],
                env=program.environment,
                capture_output=True,
                text=True,
                timeout=ANSWER_SECONDS,
                check=True,
            )
            facts: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        except subprocess.CalledProcessError as error:
            said = (error.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise ImageError(f"{reference} cannot be run: {said}", log_text=error.stderr) from error
        except (subprocess.TimeoutExpired, ValueError, IndexError) as error:
            raise ImageError(f"{reference} did not answer within {ANSWER_SECONDS} seconds.") from error
    return facts


@contextmanager
def _bundle(program: Program, report: Report) -> Iterator[Path]:
    """Yield the folder with what outside images lack; it is built if need be, and taken out of its image once."""
    [*_, built] = build_images(["runtime"], no_cache=False, report=report)
    folder = WORK_DIR / f"runtime-{(built.id or '').removeprefix('sha256:')[:16]}"
    if not folder.is_dir():
        for older in WORK_DIR.glob("runtime-*"):
            subprocess.run(["rm", "-rf", str(older)], check=False)
        report("Making ready what is added to outside images")
        container = program.run("create", REFERENCE, "true").splitlines()[-1]
        try:
            with tempfile.TemporaryDirectory(dir=WORK_DIR) as partial:
                program.run("cp", f"{container}:{INSIDE}", f"{partial}/runtime")
                (Path(partial) / "runtime").rename(folder)
        finally:
            program.ask("rm", "--force", container)
    yield folder


def assess_config(image: Mapping[str, Any], *, outside: bool) -> Iterator[Finding]:
    """Yield the findings for what the engine says about an image, without looking into it."""
    config = image.get("Config") or {}
    here = architecture_of()
    built_for = str(image.get("Architecture") or here)
    fix = "" if built_for == here else f"it is for {built_for}, and this machine is {here}: take another build of it"
    yield Finding("processor", True, built_for, fix)
    if not outside:
        return
    told = {
        "entry": (f"{config.get('Entrypoint') or 'none'}", "ours runs in its place"),
        "user": (str(config.get("User") or "root"), "the person's account is entered, with their ids"),
    }
    for name, (found, added) in told.items():
        yield Finding(name, True, found, added=added)
    if config.get("Volumes"):
        yield Finding("volumes", False, ", ".join(sorted(config["Volumes"])), added="left out: folders are the plan's")
    forged = sorted(name for name in config.get("Labels") or {} if name.startswith("mlabhub."))
    if forged:
        yield Finding("labels", False, ", ".join(forged), added="ours are set over them")


def assess(facts: Mapping[str, Any], *, hub: str, outside: bool) -> tuple[Finding, ...]:
    """Return the findings for what was seen in an image, for a hub of this version."""

    def finding(
        name: str, key: str, fix: str, *, added: str = "", needed: bool = True, good: Callable[[str], bool] = bool
    ) -> Finding:
        found = facts.get(key) or None
        if found and good(found):
            return Finding(name, needed, found)
        return Finding(name, needed, found, "" if outside and added else fix, added if outside else "")

    def packages(*names: str) -> str:
        return f"in its Containerfile: RUN apt-get update && apt-get install -y {' '.join(names)}"

    libc = finding("libc", "libc", "", added="our interpreter brings its own", needed=False)
    major = hub.split(".")[0]
    server = f"in its Containerfile: RUN pip install jupyterhub=={hub} jupyterlab (this hub is {hub})"
    return (
        finding("/usr/bin/python3", "python", packages("python3"), added="an interpreter of our own"),
        finding("setpriv", "setpriv", packages("util-linux"), added="our own way to drop privileges"),
        finding("bash", "bash", packages("bash"), added="its sh in terminals, or a bash of our own"),
        finding(
            "jupyterhub-singleuser",
            "singleuser",
            server,
            added=f"jupyterhub-singleuser {hub}",
            good=lambda found: not outside and found.split(".")[0] == major,
        ),
        finding("JupyterLab", "lab", server, added="JupyterLab of our own", good=lambda _: not outside),
        finding("notebooks", "kernel", server, added="no Python of its own that notebooks can run in: ours is used"),
        finding(
            "VS Code",
            "vscode",
            f"it cannot be opened then; grow the image from {PREFIX}base",
            added="VS Code of our own",
            needed=False,
            good=lambda _: not outside,
        ),
        *((libc,) if outside else ()),
        finding("sudo", "sudo", f"profiles with sudo need it; {packages('sudo')}", needed=False),
        finding("sshd", "sshd", f"for ssh into it; {packages('openssh-server')}", needed=False),
        finding("locale en_US.UTF-8", "locale", f"texts may look wrong; {packages('locales')}", needed=False),
        finding(
            "group mlab",
            "group",
            f"without it pip installs into people's homes; grow the image from {PREFIX}base",
            needed=False,
        ),
    )
