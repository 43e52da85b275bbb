"""A site in small: a company's CA, mirrors of every kind behind names that no resolver knows, and a proxy that logs.

The names (``pypi.test`` and others) are known to the proxy alone: what reaches a mirror came through it.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import hashlib
import io
import json
import socket
import ssl
import subprocess
import tarfile
import threading
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

HOSTS = ("pypi.test", "npm.test", "deb.test", "git.test", "registry.test", "conda.test")
USER, PASSWORD = "lab", "open%24sesame"
CREDENTIALS = base64.b64encode(b"lab:open$sesame").decode()
RELEASE = "bookworm"


@dataclass
class Site:
    """The running servers. ``pages``: content type and content by host and path."""

    folder: Path
    pages: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    """What the proxy was asked for: hosts and addresses, also those it refused."""
    proxy_port: int = 0
    http_port: int = 0
    https_port: int = 0

    @property
    def ca_file(self) -> Path:
        """The company's CA."""
        return self.folder / "company.pem"

    @property
    def keyring(self) -> Path:
        """The key that the apt mirror signs with."""
        return self.folder / "mirror.gpg"

    def proxy(self, host: str = "127.0.0.1") -> str:
        """Return the proxy's address, with name and password."""
        return f"http://{USER}:{PASSWORD}@{host}:{self.proxy_port}"

    def text(self, host: str = "127.0.0.1", **more: str) -> str:
        """Return the text of a site.conf with everything, for a machine that reaches the proxy at ``host``."""
        values = {
            "DEBIAN_MIRROR": "http://deb.test/debian",
            "DEBIAN_SECURITY_MIRROR": "https://deb.test/security",
            "APT_KEYRING": str(self.keyring),
            "PIP_INDEX_URL": "https://pypi.test/simple",
            "NPM_REGISTRY": "https://npm.test/",
            "CONDA_MIRROR": "https://conda.test/anaconda",
            "REGISTRY_MIRRORS": "docker.io=https://registry.test/hub",
            "GIT_REWRITES": "https://github.com/=https://git.test/lab/",
            "HTTP_PROXY": self.proxy(host),
            "HTTPS_PROXY": self.proxy(host),
            "CA_FILE": str(self.ca_file),
        }
        return "".join(f"{name}={value}\n" for name, value in {**values, **more}.items())


@contextlib.contextmanager
def running_site(folder: Path) -> Iterator[Site]:
    """Run mirrors and proxy; ``folder`` takes keys and what the mirrors are made from."""
    site = Site(folder)
    chain, key = make_certificates(folder)
    site.pages.update({**make_index(), **make_npm(), **make_apt(folder), **make_git(folder), **make_registry()})
    site.pages["conda.test/anaconda/pkgs/main/noarch/repodata.json"] = ("application/json", b'{"packages": {}}')
    site.pages["conda.test/anaconda/cloud/conda-forge/noarch/repodata.json"] = ("application/json", b'{"packages": {}}')
    plain, secure = serve(site, Mirror), serve(site, Mirror, (chain, key))
    proxy = serve(site, Proxy, address="0.0.0.0")
    site.http_port, site.https_port, site.proxy_port = (s.server_address[1] for s in (plain, secure, proxy))
    try:
        yield site
    finally:
        for server in (plain, secure, proxy):
            server.shutdown()
            server.server_close()


class Server(ThreadingHTTPServer):
    """A server that knows the site and says nothing of clients that hang up."""

    daemon_threads = True
    site: Site

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients may hang up."""


def serve(site: Site, handler: type, tls: tuple[Path, Path] | None = None, address: str = "127.0.0.1") -> Server:
    """Start a server in a thread."""
    server = Server((address, 0), handler)
    server.site = site
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*tls)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    return server


class Mirror(BaseHTTPRequestHandler):
    """Serves the pages."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        """Answer with a page."""
        host = self.headers.get("Host", "").partition(":")[0]
        kind, content = self.server.site.pages.get(host + self.path.partition("?")[0], ("text/plain", b""))
        self.send_response(200 if content else 404)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        if "/manifests/" in self.path:
            self.send_header("Docker-Content-Digest", digest(content))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    do_HEAD = do_GET

    def log_message(self, *_: Any) -> None:
        """The proxy's log is enough."""


class Proxy(BaseHTTPRequestHandler):
    """Forwards to the mirrors alone, for who gives name and password."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_CONNECT(self) -> None:
        """Make a tunnel to the mirrors' TLS."""
        if self._admitted(self.path.partition(":")[0]):
            self.send_response(200)
            self.end_headers()
            self._pass_on(self.server.site.https_port, b"")
        self.close_connection = True

    def do_GET(self) -> None:
        """Pass a plain request on."""
        host, _, path = self.path.partition("://")[2].partition("/")
        if self._admitted(host.partition(":")[0]):
            head = f"{self.command} /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
            self._pass_on(self.server.site.http_port, head.encode())
        self.close_connection = True

    do_HEAD = do_GET

    def _admitted(self, host: str) -> bool:
        self.server.site.asked.append(host)
        given = self.headers.get("Proxy-Authorization", "")
        status = 407 if given != f"Basic {CREDENTIALS}" else 502 if host not in HOSTS else 0
        if status:
            self.send_response(status)
            self.send_header("Proxy-Authenticate", 'Basic realm="lab"')
            self.send_header("Content-Length", "0")
            self.send_header("Connection", "close")
            self.end_headers()
        return not status

    def _pass_on(self, port: int, first: bytes) -> None:
        with socket.create_connection(("127.0.0.1", port), 10) as other:
            other.sendall(first)
            there = threading.Thread(target=copy, args=(self.connection, other), daemon=True)
            there.start()
            copy(other, self.connection)
            with contextlib.suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)
            there.join(5)

    def log_message(self, *_: Any) -> None:
        """``asked`` is the log."""


def copy(source: socket.socket, target: socket.socket) -> None:
    """Copy until the source ends."""
    with contextlib.suppress(OSError):
        while chunk := source.recv(65536):
            target.sendall(chunk)
        target.shutdown(socket.SHUT_WR)


# --- what the mirrors have --------------------------------------------------------------------------------------------


def digest(content: bytes) -> str:
    """Return a registry's name for a content."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def make_certificates(
    folder: Path, *, days: int = 300, ca: bool = True, names: Sequence[str] = HOSTS
) -> tuple[Path, Path]:
    """Write the company's CA, and return a certificate for the mirrors, or for other names, and its key."""
    now = datetime.now(timezone.utc)

    def make(name: str, issuer: x509.Name | None, key: Any, signer: Any, *extensions: Any) -> x509.Certificate:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer or subject)
        builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now - timedelta(days=99)).not_valid_after(now + timedelta(days=days))
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical)
        return builder.sign(signer, hashes.SHA256())

    root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    identifier = x509.SubjectKeyIdentifier.from_public_key(root_key.public_key())
    usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    constraints = x509.BasicConstraints(ca=ca, path_length=None)
    root = make("Company", None, root_key, root_key, (constraints, True), (usage, True), (identifier, False))
    hosts = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
    authority = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)
    leaf = make("mirrors", root.subject, key, root_key, (hosts, False), (authority, False))
    (folder / "company.pem").write_bytes(root.public_bytes(Encoding.PEM))
    (folder / "chain.pem").write_bytes(leaf.public_bytes(Encoding.PEM))
    (folder / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return folder / "chain.pem", folder / "key.pem"


def make_index() -> dict[str, tuple[str, bytes]]:
    """Return a PEP 503 index with one wheel, and with pip's own page."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as wheel:
        wheel.writestr("site_hello.py", "print('hello from the mirror')\n")
        wheel.writestr("site_hello-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: site-hello\nVersion: 1.0\n")
        wheel.writestr("site_hello-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr("site_hello-1.0.dist-info/RECORD", "")
    file = "site_hello-1.0-py3-none-any.whl"
    link = f'<!DOCTYPE html><a href="../../files/{file}#sha256={hashlib.sha256(packed.getvalue()).hexdigest()}">x</a>'
    return {
        "pypi.test/simple/site-hello/": ("text/html", link.encode()),
        "pypi.test/simple/pip/": ("text/html", b'<!DOCTYPE html><a href="../../files/pip-1.0-py3-none-any.whl">x</a>'),
        f"pypi.test/files/{file}": ("application/octet-stream", packed.getvalue()),
    }


def make_npm() -> dict[str, tuple[str, bytes]]:
    """Return an npm registry with one package, and with the one that doctor asks for."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        content = json.dumps({"name": "site-hello", "version": "1.0.0"}).encode()
        member = tarfile.TarInfo("package/package.json")
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    integrity = f"sha512-{base64.b64encode(hashlib.sha512(packed.getvalue()).digest()).decode()}"
    tarball = "https://npm.test/site-hello/-/site-hello-1.0.0.tgz"
    version = {"name": "site-hello", "version": "1.0.0", "dist": {"tarball": tarball, "integrity": integrity}}
    document = {"name": "site-hello", "dist-tags": {"latest": "1.0.0"}, "versions": {"1.0.0": version}}
    return {
        "npm.test/site-hello": ("application/json", json.dumps(document).encode()),
        "npm.test/configurable-http-proxy": ("application/json", b'{"name": "configurable-http-proxy"}'),
        "npm.test/site-hello/-/site-hello-1.0.0.tgz": ("application/octet-stream", packed.getvalue()),
    }


def make_apt(folder: Path) -> dict[str, tuple[str, bytes]]:
    """Return a signed Debian mirror with one package, its updates, and its security updates; write its key."""
    tree = folder / "site-hello"
    (tree / "DEBIAN").mkdir(parents=True)
    control = (
        "Package: site-hello\nVersion: 1.0\nArchitecture: all\nMaintainer: lab <lab@lab.test>\nDescription: hello\n"
    )
    (tree / "DEBIAN" / "control").write_text(control)
    (tree / "opt").mkdir()
    (tree / "opt" / "site-hello").write_text("hello from the mirror\n")
    package = folder / "site-hello.deb"
    run("dpkg-deb", "--root-owner-group", "--build", str(tree), str(package))
    deb = package.read_bytes()
    entry = f"{control}Filename: pool/site-hello.deb\nSize: {len(deb)}\nSHA256: {hashlib.sha256(deb).hexdigest()}\n\n"
    home = folder / "gpg"
    home.mkdir(mode=0o700)
    gpg = ("gpg", "--homedir", str(home), "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", "")
    run(*gpg, "--quick-gen-key", "mirror@lab.test", "rsa2048", "sign", "never")
    (folder / "mirror.gpg").write_bytes(run(*gpg, "--export"))
    pages = {"deb.test/debian/pool/site-hello.deb": ("application/octet-stream", deb)}
    suites = {RELEASE: ("debian", entry), f"{RELEASE}-updates": ("debian", ""), f"{RELEASE}-security": ("security", "")}
    for suite, (place, entries) in suites.items():
        base = f"deb.test/{place}/dists/{suite}"
        release = make_release(suite, entries)
        pages[f"{base}/InRelease"] = ("text/plain", run(*gpg, "--clearsign", given=release.encode()))
        pages[f"{base}/main/binary-{architecture()}/Packages.gz"] = ("application/gzip", zipped(entries))
    run("gpgconf", "--homedir", str(home), "--kill", "all")
    return pages


def make_release(suite: str, entries: str) -> str:
    """Return a Release file."""
    content, name = zipped(entries), f"main/binary-{architecture()}/Packages"
    now = datetime.now(timezone.utc)
    sums = [
        f" {hashlib.sha256(data).hexdigest()} {len(data)} {file}"
        for file, data in ((name, entries.encode()), (f"{name}.gz", content))
    ]
    head = {"Origin": "lab", "Suite": suite, "Codename": suite, "Date": f"{now:%a, %d %b %Y %H:%M:%S} UTC"}
    head |= {"Architectures": f"{architecture()} all", "Components": "main"}
    return "".join(f"{key}: {value}\n" for key, value in head.items()) + "SHA256:\n" + "\n".join(sums) + "\n"


def zipped(text: str) -> bytes:
    """Return a text, packed the same way each time."""
    return gzip.compress(text.encode(), mtime=0)


def architecture() -> str:
    """Return Debian's name for this machine's processor."""
    return run("dpkg", "--print-architecture").decode().strip()


def make_git(folder: Path) -> dict[str, tuple[str, bytes]]:
    """Return a repository for git's oldest, file by file, protocol."""
    work, bare = folder / "work", folder / "site-hello.git"
    author = ("-c", "user.name=lab", "-c", "user.email=lab@lab.test", "-C", str(work))
    run("git", "init", "-q", "-b", "main", str(work))
    (work / "hello").write_text("hello from the mirror\n")
    run("git", *author, "add", ".")
    run("git", *author, "commit", "-q", "-m", "hello")
    run("git", "clone", "-q", "--bare", str(work), str(bare))
    run("git", "-C", str(bare), "update-server-info")
    files = (file for file in bare.rglob("*") if file.is_file())
    base = "git.test/lab/site-hello.git"
    pages = {f"{base}/{file.relative_to(bare)}": ("text/plain", file.read_bytes()) for file in files}
    return {**pages, "git.test/lab/": ("text/plain", b"a list")}


def make_registry() -> dict[str, tuple[str, bytes]]:
    """Return a registry with docker.io's image library/site-hello:1."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        member = tarfile.TarInfo("hello")
        member.size = 6
        tar.addfile(member, io.BytesIO(b"hello\n"))
    layer = packed.getvalue()
    config = {"architecture": "amd64", "os": "linux", "config": {"Labels": {"hello": "from the mirror"}}}
    config |= {"rootfs": {"type": "layers", "diff_ids": [digest(layer)]}}
    said = json.dumps(config).encode()
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest(said), "size": len(said),
            },
            "layers": [
                {"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest(layer), "size": len(layer)},
            ],
        }
    ).encode()  # fmt: skip
    base, kind = "registry.test/v2/hub/library/site-hello", "application/vnd.oci.image.manifest.v1+json"
    return {
        "registry.test/v2/": ("application/json", b"{}"),
        f"{base}/manifests/1": (kind, manifest),
        f"{base}/manifests/{digest(manifest)}": (kind, manifest),
        f"{base}/blobs/{digest(said)}": ("application/octet-stream", said),
        f"{base}/blobs/{digest(layer)}": ("application/octet-stream", layer),
    }


def run(*command: str, given: bytes | None = None) -> bytes:
    """Run a program and return what it printed."""
    return subprocess.run(command, input=given, capture_output=True, check=True, timeout=60).stdout
