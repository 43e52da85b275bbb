"""What is decided once per state folder and then remembered: instance, inner ports, secrets, the first admin.

Guarantees: each file is written whole or not at all, and never again once it is there, so an interrupted first run goes
on where it stopped; secrets are readable by their owner only.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import socket
from collections.abc import Iterable
from pathlib import Path

from mlabhub.errors import InvalidConfiguration, MLabError
from mlabhub.settings import replace_file

SECRETS = ("spawner", "service-token", "supervisor-token", "command-line-token", "proxy-token")
INNER_PORTS = ("hub", "proxy-api", "service")
UNFINISHED = "restore-unfinished"
"""A file that is there while a restore replaces what is in the state folder."""


class AlreadyRunning(MLabError):
    """Another supervisor holds this state folder."""

    code = "already_running"


class PortInUse(MLabError):
    """The public port is taken."""

    code = "port_in_use"


class HalfRestored(MLabError):
    """A restore of this folder was interrupted."""

    code = "half_restored"


def check_whole(state_dir: Path) -> None:
    """Raise `HalfRestored` if a restore of this folder was interrupted."""
    if (state_dir / UNFINISHED).exists():
        raise HalfRestored(
            f"A restore of {state_dir} was interrupted: half of it is from before. "
            "Run `mlabhub restore` with --force again."
        )


def make_private_folders(*folders: Path) -> None:
    """Create folders with mode 0700. Raises `InvalidConfiguration` when the place cannot be written."""
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise InvalidConfiguration(
                f"The folder {folder} cannot be made: {error.strerror}. Mend that, or name another one with --state."
            ) from error


def write_once(path: Path, text: str) -> str:
    """Write a private file unless it is there; return what it has. Safe against an interruption at any point."""
    if path.exists():
        return path.read_text()
    temporary = path.with_suffix(f".{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return text


def make_private_file(path: Path) -> None:
    """Make an empty file that its owner alone may read, or take the others' rights to one that is there."""
    path.touch(mode=0o600)
    path.chmod(0o600)


class StateLock:
    """The state folder's lock, held until it is closed or its process ends, however it ends.

    Raises `AlreadyRunning` with the holder's process id.
    """

    def __init__(self, state_dir: Path) -> None:
        self._descriptor = os.open(state_dir / "run" / "up.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            self._take(state_dir)
        except BaseException:
            self.close()
            raise

    def _take(self, state_dir: Path) -> None:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(self._descriptor, 32).decode(errors="replace").strip() or "unknown"
            raise AlreadyRunning(
                f"A hub already runs on the state folder {state_dir} (process {holder}). "
                "Stop it first, or name another folder with --state."
            ) from None
        os.truncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def close(self) -> None:
        """Let the next one have it."""
        os.close(self._descriptor)


def read_instance(state_dir: Path) -> str:
    """Return this installation's random id: eight hexadecimal digits."""
    return write_once(state_dir / "instance", secrets.token_hex(4))


def make_secrets(secrets_dir: Path) -> None:
    """Make the secrets that the parts share with each other, 32 bytes each, in hexadecimal."""
    for name in SECRETS:
        write_once(secrets_dir / name, secrets.token_hex(32))
    write_once(secrets_dir / "cookie", secrets.token_hex(32))


def make_first_run(state_dir: Path, url: str, admin: str) -> tuple[dict[str, str], bool]:
    """Return address, first admin and password, and whether they were made just now.

    The address follows the options of the latest start; name and password are those of the first.
    """
    path = state_dir / "first-run.json"
    made = not path.exists()
    password = secrets.token_urlsafe(15)
    text = write_once(path, json.dumps({"url": url, "admin": admin, "password": password}) + "\n")
    try:
        values: dict[str, str] = json.loads(text)
        known = {"url": str(values["url"]), "admin": str(values["admin"]), "password": str(values["password"])}
    except (ValueError, KeyError, TypeError):
        raise InvalidConfiguration(
            f"{path} is damaged. Put it back from a backup, or delete it: a new one names the same admin with a new "
            "password, which takes effect only on an empty hub database."
        ) from None
    if known["url"] != url:
        known["url"] = url
        replace_file(path, json.dumps(known) + "\n", 0o600)
    return known, made


def check_port(host: str, port: int) -> None:
    """Raise `PortInUse` unless the public port can be listened on."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except PermissionError:
            raise PortInUse(
                f"Port {port} needs root. Start as root, or choose a port above 1023 with --port."
            ) from None
        except OSError as error:
            raise PortInUse(
                f"Port {port} cannot be used: {error.strerror}. Choose another one with --port, or end the program "
                f"that listens there (`ss -ltnp 'sport = :{port}'` names it)."
            ) from None


def choose_ports(state_dir: Path, reserved: Iterable[int]) -> dict[str, int]:
    """Return the inner ports, the same as last time where they are still free."""
    path = state_dir / "ports.json"
    try:
        known = {name: int(port) for name, port in json.loads(path.read_text()).items()}
    except (OSError, ValueError, AttributeError, TypeError):
        known = {}
    taken = set(reserved)
    ports: dict[str, int] = {}
    for name in INNER_PORTS:
        port = known.get(name, 0)
        if port in taken or not _is_free(port):
            port = _free_port(taken)
        taken.add(port)
        ports[name] = port
    replace_file(path, json.dumps(ports) + "\n")
    return ports


def _is_free(port: int) -> bool:
    if not 1024 <= port <= 65535:
        return False
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _free_port(taken: set[int]) -> int:
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        if port not in taken:
            return port
