"""The small program around every tool's process: ``keeper.py PARENT FOLDER COMMAND...``.

Guarantees: when the command ends, when this program gets SIGTERM, and when PARENT is gone in whatever way, every
process that grew from the command is ended too (SIGTERM, three seconds later SIGKILL), daemons among them; the newest
128 to 256 KiB of what they wrote are in FOLDER/log and FOLDER/log.1, however much it was, and a full disk loses words
but never the tool; no socket stays in FOLDER, and FOLDER itself stays only as long as there is a parent to read it. It
exits with the command's status, or 128 and the signal's number. It sleeps while nothing happens.
The folder around FOLDER, the server's, is removed by the last keeper of a server that is gone.

Only what Python itself brings is used, and little of it: one of these runs beside every tool.
"""

import contextlib
import ctypes
import fcntl
import os
import select
import signal
import sys
import time

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
LOG_BYTES = 128 * 1024
CHUNK_BYTES = 64 * 1024
BREATH_S = 0.05
"""How long a tool waits after every chunk: a flood gets about 1 MiB a second through, and costs nothing meanwhile."""
PATIENCE_S = {signal.SIGTERM: 3.0, signal.SIGKILL: 5.0}


def prctl(option: int, value: int) -> None:
    """Ask the kernel for something about this process; one that cannot do it is left alone."""
    ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


class Log:
    """Two files that hold the newest of what was written. Never fails: a full disk loses words, not the tool."""

    def __init__(self, folder: str) -> None:
        self._path = os.path.join(folder, "log")
        self._size = 0
        self._file = self._open()

    def _open(self) -> int | None:
        try:
            return os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        except OSError:
            return None

    def write(self, chunk: bytes) -> None:
        """Add a chunk, at most `CHUNK_BYTES` long."""
        if self._size + len(chunk) > LOG_BYTES:
            self._turn()
        if self._file is not None:
            try:
                self._size += os.write(self._file, chunk)
            except OSError:
                self._turn()

    def _turn(self) -> None:
        if self._file is not None:
            os.close(self._file)
        with contextlib.suppress(OSError):
            os.replace(self._path, self._path + ".1")
        self._size, self._file = 0, self._open()


class Keeper:
    """One command and all that grows from it."""

    def __init__(self, folder: str, command: list[str]) -> None:
        self.log = Log(folder)
        self.asked_to_end = False
        self.status: int | None = None
        self._wake, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_end)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._output, output = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._output, False)
        self._child = os.fork()
        if not self._child:
            become(command, output)
        os.close(output)

    def _on_end(self, *_: object) -> None:
        self.asked_to_end = True

    def run(self) -> int:
        """Copy the command's output until it ends or is to end, end everything else, and return its status."""
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        watched = {self._output}
        poll.register(self._output, select.POLLIN)
        while not self.asked_to_end and self.status is None:
            ready = {number for number, _ in poll.poll()}
            if self._wake in ready:
                os.read(self._wake, 512)
                self.reap()
            if self._output in ready & watched:
                if self.copy() == 0:
                    watched.clear()
                    poll.unregister(self._output)
                time.sleep(BREATH_S)
        self.end_all()
        self.copy()
        return self.status if self.status is not None else 128 + signal.SIGTERM

    def copy(self) -> int | None:
        """Copy a chunk of output to the log; return its length, 0 if nobody can write any more, None if none waits."""
        try:
            chunk = os.read(self._output, CHUNK_BYTES)
        except BlockingIOError:
            return None
        self.log.write(chunk)
        return len(chunk)

    def reap(self) -> None:
        """Take leave of all children that have ended, adopted ones too."""
        while True:
            try:
                child, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not child:
                return
            if child == self._child:
                code = os.waitstatus_to_exitcode(status)
                self.status = code if code >= 0 else 128 - code

    def end_all(self) -> None:
        """End every descendant: ask, wait, kill. What is started meanwhile is found too."""
        for number, patience in PATIENCE_S.items():
            told: set[int] = set()
            deadline = time.monotonic() + patience
            while (left := descendants(os.getpid())) and time.monotonic() < deadline:
                for process in left - told:
                    send(process, number)
                # What was killed once needs no more; what a fork bomb leaves behind is new.
                told |= left
                self.copy()
                self.reap()
                time.sleep(0.02)
            self.reap()


def become(command: list[str], output: int) -> None:
    """Turn this new process into the command. It is killed if the keeper itself is."""
    try:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        for number in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.execvp(command[0], command)
    except OSError as fault:
        os.write(2, f"{command[0]}: {fault.strerror}\n".encode())
    finally:
        os._exit(127)


def send(process: int, number: int) -> None:
    """Send a signal; fine if it is gone, or not ours to end."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(process, number)


def descendants(root: int) -> set[int]:
    """Return all processes below one that still run."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and (parent := parent_of(name)):
            children.setdefault(parent, []).append(int(name))
    found: set[int] = set()
    waiting = [root]
    while waiting:
        for child in children.get(waiting.pop(), ()):
            found.add(child)
            waiting.append(child)
    return found


def parent_of(process: str) -> int:
    """Return the parent of a process, 0 if it has ended (a dead one that nobody took leave of has too)."""
    try:
        with open(f"/proc/{process}/stat", "rb") as stream:
            # The name may hold blanks and brackets; what follows its last bracket is state, parent, ...
            state, parent = stream.read().rpartition(b")")[2].split()[:2]
    except (OSError, ValueError):
        return 0
    return 0 if state in b"ZX" else int(parent)


def clean_up(folder: str, around: int) -> None:
    """Remove the folder, and the last keeper of a server the one around it: nobody is left to read the logs."""
    import shutil

    shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):
        # A lock that every keeper of the server shares: who gets it alone is the last.
        fcntl.flock(around, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(os.path.dirname(folder), ignore_errors=True)


def main() -> int:
    """Keep the command of the command line."""
    parent, folder, command = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
    around = os.open(os.path.dirname(folder), os.O_RDONLY)
    fcntl.flock(around, fcntl.LOCK_SH)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    status = 128 + signal.SIGTERM
    # It may have ended before the kernel was asked to tell.
    if os.getppid() == parent:
        status = Keeper(folder, command).run()
    if os.getppid() != parent:
        clean_up(folder, around)
    else:
        with contextlib.suppress(OSError):
            os.unlink(os.path.join(folder, "socket"))
    return status


if __name__ == "__main__":
    sys.exit(main())
