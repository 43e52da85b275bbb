"""How a piece of the map is sent, in one answer with what is personal around it."""

from __future__ import annotations

from tornado.web import RequestHandler

from mlabhub.service.cluster_map.drawing import Piece, gzipped


def send(handler: RequestHandler, piece: Piece, before: str = "", after: str = "") -> None:
    """Finish the answer; compressed where the reader can undo it."""
    handler.set_header("Vary", "Accept-Encoding")
    if "gzip" in handler.request.headers.get("Accept-Encoding", ""):
        handler.set_header("Content-Encoding", "gzip")
        handler.finish(gzipped(before.encode(), piece, after.encode()))
    else:
        handler.finish(before.encode() + piece.text + after.encode())
