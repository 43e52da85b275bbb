"""A PostgreSQL of one's own: from the distribution's packages, in a temporary folder, on a unix socket.

Guarantees: it runs as a user without rights (the server refuses root), listens on no TCP port unless it is told to, and
is gone, with its folder, when it is closed or the tests end, however they end.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg

from mlabhub.ledger import Address, parse_address
from tests.installation import wait_for

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)
QUICK = {"fsync": "off", "full_page_writes": "off"}
"""For tests that do not pull the plug."""

ROLE = "mlabhub"


def find_programs() -> Path:
    """Return the folder of the newest PostgreSQL on this machine."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda one: float(one.parts[-3]))
    if found:
        return found[-1].parent
    on_path = shutil.which("postgres")
    assert on_path, "PostgreSQL is missing: `make test` installs it"
    return Path(on_path).parent


class PostgresServer:
    """One cluster. ``settings`` are those of postgresql.conf.

    ``preload`` is the source of a library that the server runs with, and what its environment has for it; the file
    ``flag`` in the server's folder is ``FULL_DISK`` to it.
    """

    def __init__(
        self, settings: Mapping[str, str] = QUICK, preload: Path | None = None, environment: Mapping[str, str] = {}
    ) -> None:
        self._programs = find_programs()
        self._user = "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        self._settings = dict(settings)
        self.folder = Path(tempfile.mkdtemp(prefix="mlabhub-pg-"))
        if os.geteuid() == 0:
            shutil.chown(self.folder, self._user)
        self._process: subprocess.Popen[bytes] | None = None
        self._environment = {"HOME": str(self.folder), "LC_ALL": "C"}
        self._run("initdb", "-D", str(self.data), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
        if preload is not None:
            library = self.folder / "preload.so"
            subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", library, preload, "-ldl"], check=True)
            self._environment |= {"LD_PRELOAD": str(library), "FULL_DISK": str(self.folder / "flag"), **environment}
        self.start()
        self.sql(f"CREATE ROLE {ROLE} LOGIN")

    @property
    def data(self) -> Path:
        """The cluster's folder."""
        return self.folder / "data"

    def start(self, **more: str) -> None:
        """Run the server and wait until it takes connections."""
        settings = {"listen_addresses": "", "unix_socket_directories": str(self.folder), **self._settings, **more}
        options = [part for key, value in settings.items() for part in ("-c", f"{key}={value}")]
        log = open(self.folder / "log", "ab")  # noqa: SIM115 - the child keeps it
        argv = [str(self._programs / "postgres"), "-D", str(self.data), *options]
        self._process = subprocess.Popen(argv, stdout=log, stderr=log, preexec_fn=_end_with_us, **self._as())
        log.close()
        wait_for(self._answers, 30, f"PostgreSQL in {self.folder}")

    def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        """End the server: SIGINT in order, SIGKILL as a crash of the machine would, its processes included."""
        process, self._process = self._process, None
        if process is None:
            return
        children = _children(process.pid) if number == signal.SIGKILL else []
        process.send_signal(number)
        for child in children:
            os.kill(child, signal.SIGKILL)
        process.wait(30)

    def close(self) -> None:
        """End the server and remove its folder."""
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, database: str = "postgres", user: str = ROLE) -> str:
        """Return the address of a database."""
        return f"postgresql://{user}@/{database}?host={self.folder}"

    def address(self, database: str = "postgres", user: str = ROLE) -> Address:
        """Return the address of a database, parsed."""
        return parse_address(self.url(database, user))

    def make_database(self, name: str) -> Address:
        """Make an empty database that the ledger's role owns, anew if it is there."""
        self.sql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        self.sql(f"CREATE DATABASE {name} OWNER {ROLE}")
        return self.address(name)

    def sql(self, statement: str, database: str = "postgres") -> list[Any]:
        """Run a statement as the superuser; return its rows."""
        with psycopg.connect(host=str(self.folder), dbname=database, user="postgres", autocommit=True) as connection:
            cursor = connection.execute(statement)  # type: ignore[call-overload]
            return list(cursor.fetchall()) if cursor.description else []

    def end_sessions(self, database: str) -> None:
        """End every session of a database, as a restart does."""
        where = f"WHERE datname = '{database}' AND pid <> pg_backend_pid()"
        self.sql(f"SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity {where}")

    def program(self, name: str, *arguments: str, **more: Any) -> subprocess.CompletedProcess[bytes]:
        """Run one of PostgreSQL's programs against this server."""
        environment = {**os.environ, "PGHOST": str(self.folder), "PGUSER": "postgres"}
        return subprocess.run([str(self._programs / name), *arguments], env=environment, check=True, **more)

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "log").read_text()
        try:
            self.sql("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def _run(self, name: str, *arguments: str) -> None:
        done = subprocess.run([str(self._programs / name), *arguments], capture_output=True, check=False, **self._as())
        assert done.returncode == 0, done.stderr.decode()

    def _as(self) -> dict[str, Any]:
        more: dict[str, Any] = {"cwd": self.folder, "env": {**os.environ, **self._environment}}
        if os.geteuid() == 0:
            more |= {"user": self._user, "group": pwd.getpwnam(self._user).pw_gid, "extra_groups": []}
        return more


def _end_with_us() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)


def _children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
