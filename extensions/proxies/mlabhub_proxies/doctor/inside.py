"""What a server finds out about itself: its disk, its folders, its tools, who reaches its ports.

Guarantees: quick and light (a few bytes written, nothing read but sizes); a file server that hangs delays an answer by
`PATIENCE_S` and no longer; nothing is left behind.
"""

from __future__ import annotations

import asyncio
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from mlabhub_proxies.doctor.findings import Finding
from mlabhub_proxies.patience import NoAnswer, within
from mlabhub_proxies.running import FAILED, READY
from mlabhub_proxies.surroundings import Surroundings
from mlabhub_proxies.tools import HOME as HOME_VARIABLE
from mlabhub_proxies.tools import Environ, Tool, allowed, home_of
from mlabhub_proxies.words import N_, Said

PATIENCE_S = 2.0
ENOUGH_BYTES = 1 << 30
ENOUGH_INODES = 1000
IN_CONTAINER = (Path("/run/.containerenv"), Path("/.dockerenv"))
PLAIN_PROCESS = "MLABHUB_INSTANCE"
"""A variable that only servers have that are plain processes of the hub's account."""
HOME, RUNTIME = N_("Home folder"), N_("Runtime folder")


async def examine(surroundings: Surroundings) -> list[Finding]:
    """Return the findings about a server's inside, but for what takes a program of its own to find out."""
    home = Path(home_of(surroundings.environ))
    disk, runtime = await asyncio.gather(
        _patiently("home", HOME, str(home), lambda: look_at_home(home)),
        _patiently("runtime", RUNTIME, "", lambda: look_at_runtime(surroundings)),
    )
    return [disk, runtime, who_reaches_ports(is_alone(surroundings.environ)), *tools(surroundings)]


async def _patiently(slug: str, name: str, place: str, look: Callable[[], Finding]) -> Finding:
    try:
        return await within(PATIENCE_S, look)
    except NoAnswer:
        found = Said.of(N_("{place} did not answer within {seconds} s."), place=place, seconds=round(PATIENCE_S))
        return Finding(slug, name, "missing", found, Said.of(N_("Its file server hangs: tell an administrator.")))


def look_at_home(home: Path) -> Finding:
    """Return whether a folder can be written, and has room."""
    try:
        with tempfile.NamedTemporaryFile(dir=home, prefix=".mlabhub-doctor-") as file:
            file.write(bytes(4096))
            file.flush()
        sizes = os.statvfs(home)
    except OSError as fault:
        found = Said.of(
            N_("{place} cannot be written: {fault}."), place=str(home), fault=fault.strerror or type(fault).__name__
        )
        return Finding(
            "home",
            HOME,
            "missing",
            found,
            Said.of(N_("Delete what you do not need (`du -sh ~/* ~/.[!.]*` shows it), or ask for more room.")),
        )
    free = sizes.f_bavail * sizes.f_frsize
    values = {"place": str(home), "room": f"{free / 2**30:.1f} GiB"}
    few_files = sizes.f_files > 0 and sizes.f_favail < ENOUGH_INODES
    if free >= ENOUGH_BYTES and not few_files:
        return Finding("home", HOME, "ok", Said.of(N_("{place} can be written, {room} are free."), **values))
    if few_files:
        found = Said.of(N_("{place} has room for {count} more files only."), place=str(home), count=sizes.f_favail)
    else:
        found = Said.of(N_("{place} can be written, and only {room} are free."), **values)
    return Finding("home", HOME, "better", found, Said.of(N_("Make room, or ask for more.")))


def look_at_runtime(surroundings: Surroundings) -> Finding:
    """Return whether the folder of the tools' sockets can be made, and is closed to others."""
    try:
        folder = surroundings.folder.fresh("doctor")
        (folder / "trial").write_bytes(bytes(4096))
        mode = stat.S_IMODE(folder.stat().st_mode)
        (folder / "trial").unlink()
        folder.rmdir()
    except OSError as fault:
        found = Said.of(
            N_("The folder of the tools' sockets cannot be made: {fault}."),
            fault=fault.strerror or type(fault).__name__,
        )
        fix = N_("No tool starts without it. Make room in {place}, or stop the server and start it again.")
        return Finding("runtime", RUNTIME, "missing", found, Said.of(fix, place=tempfile.gettempdir()))
    if mode & 0o077:
        found = Said.of(N_("Others may enter the folder of the tools' sockets (mode {mode})."), mode=f"{mode:04o}")
        fix = N_("Use a file system that keeps modes for $XDG_RUNTIME_DIR.")
        return Finding("runtime", RUNTIME, "missing", found, Said.of(fix))
    return Finding("runtime", RUNTIME, "ok", Said.of(N_("The tools' sockets are closed to everybody else.")))


def is_alone(environ: Environ) -> bool:
    """Return whether this server has a network of its own, as every server of a hub has that is no plain process."""
    if PLAIN_PROCESS in environ:
        return False  # wherever the hub itself may run
    return HOME_VARIABLE in environ or any(file.exists() for file in IN_CONTAINER)


def who_reaches_ports(in_container: bool) -> Finding:
    """Say who reaches what listens on all addresses."""
    name = N_("Who reaches your ports")
    if in_container:
        found = Said.of(N_("Only you: this server is a container in a network of its own."))
        return Finding("neighbours", name, "ok", found)
    found = Said.of(
        N_("What listens on 0.0.0.0 is open to everybody who reaches this machine, on 127.0.0.1 to all its users.")
    )
    fix = N_("Give programs a password or a unix socket, or have an administrator run servers as containers.")
    return Finding("neighbours", name, "better", found, Said.of(fix))


def tools(surroundings: Surroundings) -> Iterator[Finding]:
    """Say of each tool whether it is here, and if not, why."""
    for tool in surroundings.known:
        yield _tool(tool, surroundings)


def _tool(tool: Tool, surroundings: Surroundings) -> Finding:
    slug, title = f"tool-{tool.slug}", Said.of(tool.title)
    if tool not in surroundings.offered:
        if allowed(tool, surroundings.environ):
            return Finding(slug, tool.title, "info", Said.of(N_("The image of this server does not have it.")))
        return Finding(slug, tool.title, "info", Said.of(N_("The profile of this server does not offer it.")))
    running = surroundings.running.get(tool.slug)
    if running is not None and running.state == FAILED:
        found = running.reason or Said.of(N_("{tool} did not start."), tool=title)
        hint = tool.program.hint if tool.program else ""
        return Finding(slug, tool.title, "missing", found, Said.of(hint))
    if running is None or running.state == READY:
        return Finding(slug, tool.title, "ok", Said.of(N_("It is ready.")))
    return Finding(slug, tool.title, "ok", Said.of(N_("It is here, and starts when you open it.")))
