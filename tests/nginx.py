"""nginx from the distribution's package, in a temporary folder, with the configuration that the documentation gives.

Guarantees: it is gone, with its processes, when the block ends or the tests do, however they end.
"""

from __future__ import annotations

import contextlib
import ctypes
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.installation import CHECKOUT, free_port, wait_for
from tests.site.mirrors import make_certificates

DOCUMENT = CHECKOUT / "docs" / "how-to" / "behind-nginx.md"
NAME = "lab.example.org"
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)

_AROUND = """
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    large_client_header_buffers {buffers};
{site}
}}
"""


def documented() -> str:
    """Return the configuration that the documentation gives."""
    [block] = re.findall(r"```nginx\n(.*?)```", DOCUMENT.read_text(), flags=re.DOTALL)
    return str(block)


@dataclass(frozen=True)
class Nginx:
    """One running nginx. ``authority`` signed its certificate."""

    port: int
    tls: bool
    authority: Path
    folder: Path

    @property
    def host(self) -> str:
        """Its name with its port, as a browser says it."""
        return f"{NAME}:{self.port}" if self.tls else f"127.0.0.1:{self.port}"

    @property
    def origin(self) -> str:
        """Scheme, name and port."""
        return f"{'https' if self.tls else 'http'}://{self.host}"


@contextlib.contextmanager
def run_nginx(
    folder: Path,
    upstream: int,
    *,
    tls: bool = True,
    path: str = "/",
    changes: Mapping[str, str] = {},
    more: str = "",
    buffers: str = "4 8k",
) -> Iterator[Nginx]:
    """Run nginx in front of a port of this machine.

    ``changes`` are made to the documented lines, each of which must be there; ``more`` stands before its location.
    """
    program = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
    assert program, "nginx is missing: `make test` installs it"
    folder.mkdir(parents=True, exist_ok=True)
    certificate, key = make_certificates(folder, names=(NAME, "localhost"))
    port = free_port()
    site = documented()
    ours = {
        "listen 443 ssl;": f"listen 127.0.0.1:{port}{' ssl' if tls else ''};",
        "/etc/ssl/lab.example.org.pem": str(certificate),
        "/etc/ssl/lab.example.org.key": str(key),
        "location / {": f"{more}\n    location {path} {{",
        "http://127.0.0.1:8000": f"http://127.0.0.1:{upstream}",
    }
    for old, new in {**ours, **changes}.items():
        assert old in site, f"{old!r} is not in the documentation's configuration"
        site = site.replace(old, new)
    (folder / "nginx.conf").write_text(_AROUND.format(folder=folder, site=site, buffers=buffers))
    argv = [program, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]
    with subprocess.Popen(argv, preexec_fn=_end_with_us) as process:
        try:
            wait_for(lambda: _listens(port, process, folder), 10, f"nginx at port {port}")
            yield Nginx(port, tls, folder / "company.pem", folder)
        finally:
            process.terminate()


def _listens(port: int, process: subprocess.Popen[bytes], folder: Path) -> bool:
    assert process.poll() is None, (folder / "error.log").read_text()
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _end_with_us() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
