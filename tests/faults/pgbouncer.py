"""PgBouncer in transaction mode, with the documented settings of Neon's pooler."""

import datetime as dt
import ipaddress
import signal
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from support.commands import free_port
from support.programs import Program, executable
from support.waiting import listens

from faults.programs import directory_of, ordinary_user

# Neon: transaction mode, TLS, query_wait_timeout, max_client_conn. Its pool takes 90 % of the slots;
# here the direct half of the run needs some. server_login_retry has PgBouncer's default, 15 s.
CONFIGURATION = """
[databases]
* = host={socket}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {home}/users
pool_mode = transaction
default_pool_size = 30
max_client_conn = 10000
query_wait_timeout = 120
client_tls_sslmode = require
client_tls_key_file = {home}/key.pem
client_tls_cert_file = {home}/certificate.pem
"""


class PgBouncer:
    """The pooler, in front of a server's Unix socket."""

    def __init__(self, directory: Path, upstream: str, login: str) -> None:
        user = ordinary_user()
        home = directory_of(user, directory / "pgbouncer")
        self.port = free_port()
        self.certificate = home / "certificate.pem"
        (home / "users").write_text(f'"{login}" ""\n')
        _certify(home)
        configuration = home / "pgbouncer.ini"
        configuration.write_text(CONFIGURATION.format(socket=upstream, port=self.port, home=home))
        command = [executable("pgbouncer"), str(configuration)]
        self._program = Program(command, directory / "pgbouncer.log", user=user)

    def start(self) -> None:
        self._program.start()
        self._program.wait_for(lambda: listens(self.port), "PgBouncer to listen")

    def stop(self) -> None:
        self._program.stop(signal.SIGTERM)

    def kill(self) -> None:
        self._program.kill()


def _certify(home: Path) -> None:
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
    (home / "certificate.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (home / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
