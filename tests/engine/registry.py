"""A registry on a real port that gives one image, slowly, halfway or not at all."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

MANIFEST = "application/vnd.oci.image.manifest.v1+json"


@dataclass
class Registry:
    """What it gives: ``folder`` is an image as `podman save --format oci-dir` writes it. ``mode``: ok, hang, half."""

    folder: Path
    port: int = 0
    mode: str = "ok"

    @property
    def host(self) -> str:
        """Host and port, as references have them."""
        return f"127.0.0.1:{self.port}"

    def manifest(self) -> tuple[str, bytes]:
        """Return digest and text of the image's manifest."""
        index = json.loads((self.folder / "index.json").read_text())
        digest = index["manifests"][0]["digest"]
        return digest, self.blob(digest)

    def blob(self, digest: str) -> bytes:
        """Return a blob's bytes."""
        return (self.folder / "blobs" / digest.replace(":", "/")).read_bytes()


@contextmanager
def serve(registry: Registry) -> Iterator[Registry]:
    """Serve it until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            if registry.mode == "hang":
                time.sleep(30)
                return
            if self.path.rstrip("/") == "/v2":
                self.answer(b"{}", "application/json")
            elif "/manifests/" in self.path and "/nothing/" not in self.path:
                digest, text = registry.manifest()
                self.answer(text, MANIFEST, digest)
            elif "/blobs/" in self.path:
                self.answer(registry.blob(self.path.rpartition("/")[2]), "application/octet-stream")
            else:
                self.send_error(404)

        def answer(self, body: bytes, kind: str, digest: str = "") -> None:
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            if digest:
                self.send_header("Docker-Content-Digest", digest)
            self.end_headers()
            if self.command == "GET":
                half = registry.mode == "half" and kind.endswith("octet-stream")
                self.wfile.write(body[: len(body) // 2] if half else body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    registry.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield registry
    finally:
        server.shutdown()
        server.server_close()
