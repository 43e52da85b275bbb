"""Bundles of certificates to trust.

Guarantees: what cannot be read is left out, never an error; each certificate is there once, in the order of the files.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

SYSTEM_CA = Path("/etc/ssl/certs/ca-certificates.crt")
"""This machine's own store."""
_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)


def read_certificates(files: Iterable[Path | str | None]) -> bytes:
    """Return the certificates in these files, in PEM."""
    certificates: dict[bytes, None] = {}
    for file in files:
        certificates.update(dict.fromkeys(_CERTIFICATE.findall(_bytes(Path(file)) if file else b"")))
    return b"".join(certificate + b"\n" for certificate in certificates)


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""
