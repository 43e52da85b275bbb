"""What `mlabhub up` needs to know of a certificate: the name that people, and their servers, call the hub by.

Guarantees: a certificate that cannot work is refused at the start, with its file's name.
"""

from __future__ import annotations

import ssl
from datetime import datetime
from pathlib import Path

from cryptography import x509

from mlabhub.errors import InvalidConfiguration
from mlabhub.settings import replace_file
from mlabhub.site.authorities import SYSTEM_CA, read_certificates


def read_name(certificate: Path, key: Path, now: datetime) -> str:
    """Return the first DNS name of a certificate; ``hub.`` stands for a wildcard's star.

    Raises `InvalidConfiguration` if it is none, has no name, is out of date, or does not fit the key.
    """
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
        loaded = x509.load_pem_x509_certificate(certificate.read_bytes())
        names = loaded.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ssl.SSLError, ValueError, OSError) as error:
        raise InvalidConfiguration(
            f"{certificate} and {key} cannot be used for https: {error}. Both must be PEM, and belong together."
        ) from error
    except x509.ExtensionNotFound:
        names = x509.SubjectAlternativeName([])
    found = names.get_values_for_type(x509.DNSName)
    if not found:
        raise InvalidConfiguration(
            f"{certificate} names no host. Use a certificate with the hub's name as a subject alternative name (DNS)."
        )
    ends = loaded.not_valid_after_utc
    if ends < now:
        raise InvalidConfiguration(f"{certificate} ended on {ends:%Y-%m-%d}. Renew it, or start without --tls-cert.")
    return found[0].replace("*", "hub", 1)


def write_authorities(certificate: Path | None, company: str, target: Path) -> None:
    """Write whom people's servers trust: this machine's authorities, the company's, a certificate that signed itself.

    Without a certificate and a company's authorities there is no such file: images then trust whom they know.
    """
    if certificate is None and not company:
        target.unlink(missing_ok=True)
        return
    system = ssl.get_default_verify_paths().cafile or SYSTEM_CA
    replace_file(target, read_certificates([system, certificate, company]).decode())
