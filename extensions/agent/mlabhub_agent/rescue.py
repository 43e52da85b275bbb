"""The rescue bundle: what ran in a server that gives its GPUs back, for its person to go on from, in their own folder.

Guarantees: written as the person, for them alone (mode 0700), whole or not at all; the newest `KEPT` stay and nothing
else is ever removed; no environment of a process is read. Whatever goes wrong costs a file, or the bundle, and never
raises: the server ends all the same.
"""

from __future__ import annotations

import asyncio
import csv
import json
import logging
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mlabhub_agent.packages import package_lines
from mlabhub_agent.processes import PROC, TICKS, Process, Processes

log = logging.getLogger(__name__)
FOLDER = "mlabhub-rescue"
KEPT = 5
NAME = re.compile(r"\d{4}-\d\d-\d\d-\d{6}-[A-Za-z0-9._-]{1,60}")
LONGEST_COMMAND = 2000
PAGE = os.sysconf("SC_PAGE_SIZE")
Lines = Sequence[str]

README = """\
{server}, {date}

This server gave its GPUs back. Reason: {en}
Its files are where they were. What ran in it is noted here, so that you can go on:

    processes.txt       what ran: number, age, processor time, memory, command
    gpu.csv             how busy its GPUs and processors were in the last hours
    packages.txt        packages that were installed or changed since its image
    open-documents.txt  open notebooks, kernels and terminals

What was only in a program's memory is gone. To have the GPUs again: the Home page, or `mlabhub server start`.
The {kept} newest of these folders are kept.

本服务器已归还 GPU。原因：{zh}
您的文件仍在原处。服务器中运行过的内容记录在这里，便于您继续工作：

    processes.txt       运行过的进程：编号、时长、处理器时间、内存、命令
    gpu.csv             最近几小时 GPU 与处理器的使用情况
    packages.txt        相对镜像新装或改动的软件包
    open-documents.txt  打开的笔记本、内核与终端

只存在于程序内存中的内容已丢失。如需再次使用 GPU：打开主页，或运行 `mlabhub server start`。
此类文件夹保留最新的 {kept} 个。
"""


async def write_bundle(
    settings: Mapping[str, Any],
    order: Mapping[str, Any],
    trace: Mapping[str, Any] | None,
    environ: Mapping[str, str] = os.environ,
) -> str:
    """Write the bundle; return its folder, empty if there is none: why stands in the log.

    ``settings`` are those of the server's web application, ``order`` what the service asks (its ``reason`` is by
    language), ``trace`` what it measured of this server, None if it did not say.
    """
    try:
        documents = await _document_lines(settings)
        return await asyncio.to_thread(_write, environ, order, trace, documents)
    except Exception as error:
        log.warning("No rescue bundle was written: %s", error)
        return ""


def _write(
    environ: Mapping[str, str], order: Mapping[str, Any], trace: Mapping[str, Any] | None, documents: Lines
) -> str:
    home = environ.get("MLABHUB_HOME", "")
    if not home or not os.path.isdir(home):
        log.warning("No rescue bundle was written: this server has no folder of its person's own")
        return ""
    parent = Path(home) / FOLDER
    parent.mkdir(mode=0o700, exist_ok=True)
    folder = parent / f"{time.strftime('%Y-%m-%d-%H%M%S')}-{_server_name(environ)}"
    unfinished = parent / f".{folder.name}"
    try:
        unfinished.mkdir(mode=0o700)
        files: dict[str, Callable[[], Lines]] = {
            "processes.txt": lambda: list(process_lines(environ)),
            "gpu.csv": lambda: list(trace_lines(trace)),
            "packages.txt": lambda: list(package_lines()),
            "open-documents.txt": lambda: documents,
            "README.txt": lambda: _readme_lines(order, folder.name),
        }
        for name, lines in files.items():
            _write_file(unfinished / name, lines)
        unfinished.rename(folder)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    _keep_newest(parent)
    return str(folder)


def _write_file(file: Path, make: Callable[[], Lines]) -> None:
    """Write a file. What it is made of may be missing; a disk that is full raises `OSError`."""
    try:
        lines = make()
    except Exception as error:
        log.warning("The bundle has no %s: %s", file.name, error)
        lines = [f"Not known: {error}"]
    with file.open("x", encoding="utf-8", errors="backslashreplace") as stream:
        stream.write("".join(f"{line}\n" for line in lines))
        stream.flush()
        os.fsync(stream.fileno())


def _keep_newest(parent: Path) -> None:
    own = sorted(one for one in parent.iterdir() if NAME.fullmatch(one.name) and one.is_dir() and not one.is_symlink())
    for one in own[:-KEPT]:
        shutil.rmtree(one, ignore_errors=True)


def _server_name(environ: Mapping[str, str]) -> str:
    name = environ.get("JUPYTERHUB_SERVER_NAME") or "default"
    return re.sub(r"[^A-Za-z0-9._-]", "_", name)[:60]


def _readme_lines(order: Mapping[str, Any], name: str) -> Lines:
    reason = order.get("reason")
    said = reason if isinstance(reason, Mapping) else {}
    en = str(said.get("en") or "not told")
    text = README.format(
        server=name, date=time.strftime("%Y-%m-%d %H:%M %Z"), en=en, zh=said.get("zh_CN") or en, kept=KEPT
    )
    return text.splitlines()


# -- what ran


def process_lines(environ: Mapping[str, str]) -> Iterator[str]:
    """Yield the processes of this server, those with the most processor time first."""
    mine = Processes(environ.get("MLABHUB_LAUNCH_ID", ""), all_are_ours=environ.get("MLABHUB_OWN_NETWORK") == "1")
    up = float((PROC / "uptime").read_text().split()[0])
    yield f"{'PID':>8} {'PARENT':>8} {'AGE s':>10} {'CPU s':>10} {'MEMORY MiB':>11}  COMMAND"
    for one in sorted(mine.look().processes.values(), key=lambda each: -each.own_s):
        age = max(0.0, up - one.started / TICKS)
        yield (
            f"{one.pid:>8} {one.parent:>8} {age:>10.0f} {one.own_s:>10.1f} {_memory_mib(one.pid):>11}  {_command(one)}"
        )


def _memory_mib(pid: int) -> str:
    try:
        return f"{int((PROC / str(pid) / 'statm').read_text().split()[1]) * PAGE / 2**20:.0f}"
    except (OSError, ValueError, IndexError):
        return "?"


def _command(one: Process) -> str:
    try:
        words = (PROC / str(one.pid) / "cmdline").read_bytes().rstrip(b"\0").replace(b"\0", b" ")
    except OSError:
        words = b""
    text = words[:LONGEST_COMMAND].decode("utf-8", "backslashreplace") or f"[{one.name}]"
    return "".join(character if character.isprintable() else "?" for character in text)


# -- how busy it was


def trace_lines(trace: Mapping[str, Any] | None) -> Iterator[str]:
    """Yield what the service measured as CSV. An empty field is not known, never zero."""
    samples = None if trace is None else trace.get("samples")
    if not isinstance(samples, list) or not samples:
        yield "# The service told nothing that was measured of this server."
        return
    known = [one for one in samples if isinstance(one, Mapping)]
    gpus = max((len(_values(one, "gpu_util")) for one in known), default=0)
    names = [f"gpu{number}_{what}" for number in range(gpus) for what in ("percent", "memory_mib")]
    yield _row(["time", "cpu_cores", *names])
    for one in known:
        busy, memory = _values(one, "gpu_util"), _values(one, "gpu_mem_used")
        pairs = ((_at(busy, number), _at(memory, number)) for number in range(gpus))
        values = [value for util, used in pairs for value in (util, None if used is None else used / 2**20)]
        at = time.strftime("%Y-%m-%dT%H:%M:%S%z", time.localtime(float(one.get("t", 0))))
        yield _row([at, _number(one.get("cpu_cores")), *values])


def _values(sample: Mapping[str, Any], key: str) -> Sequence[Any]:
    found = sample.get(key)
    return found if isinstance(found, list) else ()


def _at(values: Sequence[Any], number: int) -> float | None:
    return _number(values[number]) if number < len(values) else None


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _row(values: Sequence[str | float | None]) -> str:
    texts = ["" if one is None else one if isinstance(one, str) else f"{one:.2f}" for one in values]
    writer: list[str] = []
    csv.writer(_Lines(writer)).writerow(texts)
    return writer[0].rstrip("\r\n")


class _Lines:
    """What `csv` writes to."""

    def __init__(self, lines: list[str]):
        self._lines = lines

    def write(self, line: str) -> None:
        self._lines.append(line)


# -- what was open


async def _document_lines(settings: Mapping[str, Any]) -> Lines:
    try:
        return [line async for line in document_lines(settings)]
    except Exception as error:
        log.warning("What is open in this server could not be listed: %s", error)
        return [f"Not known: {error}"]


async def document_lines(settings: Mapping[str, Any]) -> Any:
    """Yield the open notebooks with the state of their kernels, further kernels, and terminals."""
    sessions = settings.get("session_manager")
    shown: set[str] = set()
    yield "# Open notebooks and consoles. What was not saved in them is not known here."
    for one in await sessions.list_sessions() if sessions is not None else ():
        kernel = one.get("kernel") or {}
        shown.add(str(kernel.get("id", "")))
        yield _kernel_line(str(one.get("path") or one.get("name") or "?"), kernel)
    kernels = settings.get("kernel_manager")
    others = [one for one in kernels.list_kernels() if str(one.get("id")) not in shown] if kernels is not None else []
    yield "# Kernels without a document"
    for kernel in others:
        yield _kernel_line("-", kernel)
    yield "# Terminals"
    terminals = settings.get("terminal_manager")
    for terminal in terminals.list() if terminals is not None else ():
        yield json.dumps({key: terminal.get(key) for key in ("name", "last_activity")}, default=str)


def _kernel_line(document: str, kernel: Mapping[str, Any]) -> str:
    told = {key: kernel.get(key) for key in ("name", "execution_state", "last_activity", "connections")}
    return f"{json.dumps(document, ensure_ascii=False)} {json.dumps(told, default=str, ensure_ascii=False)}"
