"""PgBouncer in transaction mode, with the documented settings of Neon's pooler."""

import datetime as dt
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from support.pooler import PgBouncer

# Neon: transaction mode, TLS, query_wait_timeout, max_client_conn. Its pool takes 90 % of the slots;
# here the direct half of the run needs some. server_login_retry has PgBouncer's default, 15 s.
SETTINGS = {
    "pool_mode": "transaction",
    "default_pool_size": 30,
    "max_client_conn": 10000,
    "query_wait_timeout": 120,
    "client_tls_sslmode": "require",
}


class NeonPooler(PgBouncer):
    """The pooler, with TLS; `certificate` is the file of its authority."""

    def __init__(self, directory: Path, upstream: str, login: str) -> None:
        key, self.certificate = directory / "key.pem", directory / "certificate.pem"
        _certify(key, self.certificate)
        files = {"client_tls_key_file": key, "client_tls_cert_file": self.certificate}
        super().__init__(directory, upstream, login, **SETTINGS, **files)


def _certify(key_file: Path, certificate_file: Path) -> None:
    """Write a key and a self-signed certificate for loopback."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=2))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
