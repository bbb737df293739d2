"""The doctor's findings about settings, databases, keys and tokens; it shows no secrets."""

import asyncio
import base64
import contextlib
import datetime as dt
import json
import os
import pty
import re
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from itertools import count
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from psycopg2.extensions import make_dsn, parse_dsn
from support.commands import run
from support.proxy import PostgresProxy
from typer.testing import CliRunner

from tasks_backend.auth.tokens import ACCESS_TOKEN_CLAIMS, ID_TOKEN_CLAIMS
from tasks_backend.cli import app
from tasks_backend.db import migrations
from tasks_backend.db.statements import REVISIONS
from tasks_backend.dev.issuer import Issuer
from tasks_backend.doctor import claims, clocks
from tasks_backend.doctor.clocks import Clocks
from tasks_backend.doctor.findings import CHECKS, SKIPPED
from tasks_backend.settings import Settings
from tasks_backend.testing.databases import NEON_OWNER, PLAIN_OWNER, SUPERUSER, Cluster
from tasks_backend.testing.key_server import Answer, KeyServer, json_answer
from tasks_backend.testing.signing import AUDIENCE, ISSUER, Signer, key_set

PASSWORD = "correct-horse-battery"
SUB = "user-6fd1e0b2a94c"
DEADLINE = 30.0  # seconds, the promised maximum of the command
COMMAND = [sys.executable, "-m", "tasks_backend"]
PERSONAL = (PASSWORD, SUB, "Alice Ünïcode", "alice@example.com")


@dataclass(frozen=True)
class Diagnosis:
    """The command's JSON output, by check, and its exit code."""

    exit_code: int
    found: dict[str, tuple[str, str]]

    def outcome(self, check: str) -> str:
        return self.found[check][0]

    def says(self, check: str, outcome: str, *words: str) -> None:
        """Compare one finding with the expected one."""
        assert self.outcome(check) == outcome, self.found[check]
        for word in words:
            assert word in self.found[check][1], (word, self.found[check])

    @property
    def problems(self) -> set[str]:
        return {check for check, (outcome, _) in self.found.items() if outcome == "problem"}


class Patient:
    """An environment for the doctor: valid settings, each of which can be changed."""

    def __init__(self, home: Path, database: str, keys: str) -> None:
        self._home = home
        self._settings = {
            "DATABASE_URL": make_dsn(database, password=PASSWORD),
            "JWT_ISSUER": ISSUER,
            "JWT_AUDIENCE": AUDIENCE,
            "JWKS_URL": keys,
        }

    def environment(self, **changed: str | None) -> dict[str, str | None]:
        unset = dict.fromkeys(name.upper() for name in Settings.model_fields)
        return {**unset, **self._settings, **changed}

    def examined(self, token: str | None = None, **changed: str | None) -> Diagnosis:
        """Run the command, and check that its output shows none of the given secrets."""
        arguments = ["doctor", "--json", *(["--token", "-"] if token is not None else [])]
        began = time.monotonic()
        with contextlib.chdir(self._home):
            result = CliRunner().invoke(
                app, arguments, input=token, env=self.environment(**changed)
            )
        assert time.monotonic() - began < DEADLINE
        assert result.stderr == ""
        shows_no_secret(result.output, token)
        findings = json.loads(result.stdout)
        assert [list(finding) for finding in findings] == [["check", "outcome", "message"]] * len(
            findings
        )
        areas = [area for area in CHECKS if area != "token" or token is not None]
        order = [f"{area}.{name}" for area in areas for name in CHECKS[area]]
        assert list(dict.fromkeys(finding["check"] for finding in findings)) == order
        assert all(finding["message"].endswith((".", "?")) for finding in findings)
        found = {finding["check"]: (finding["outcome"], finding["message"]) for finding in findings}
        return Diagnosis(result.exit_code, found)


def shows_no_secret(output: str, token: str | None = None) -> None:
    for secret in PERSONAL:
        assert secret not in output
    for part in re.split(r"[\s.]", token or ""):
        assert len(part) < 16 or part not in output


@pytest.fixture
def patient(tmp_path: Path, database: str, key_server: KeyServer) -> Patient:
    return Patient(tmp_path, database, key_server.url)


def test_all_is_well(patient: Patient) -> None:
    diagnosis = patient.examined()
    assert diagnosis.exit_code == 0
    assert {outcome for outcome, _ in diagnosis.found.values()} == {"ok"}
    diagnosis.says("database.reachable", "ok", "PostgreSQL 18 at ")
    diagnosis.says("database.role", "ok", "switches to tasks_app")
    diagnosis.says("database.schema", "ok", f"revision {REVISIONS[-1]}")
    diagnosis.says("keys.usable", "ok", "1 usable key (EdDSA).")
    diagnosis.says("clock.difference", "ok", "the key server and of the database agrees")


# Settings


def test_each_missing_setting_is_named_and_nothing_else_is_tried(patient: Patient) -> None:
    diagnosis = patient.examined(DATABASE_URL=None, JWT_ISSUER=None)
    assert diagnosis.exit_code == 2
    assert diagnosis.problems == {"settings.values"}
    tried = {"settings.values", "settings.environment"}
    messages = {message for check, (_, message) in diagnosis.found.items() if check not in tried}
    assert messages == {SKIPPED}


KEY_SETTINGS = "BETTER_AUTH_URL: set it, or all of JWT_ISSUER, JWT_AUDIENCE, JWKS_URL"


def test_without_settings_only_what_to_set_is_printed(patient: Patient, tmp_path: Path) -> None:
    missing = patient.environment(**dict.fromkeys(("DATABASE_URL", "JWT_ISSUER")))
    with contextlib.chdir(tmp_path):
        result = CliRunner().invoke(app, ["doctor"], env=missing)
    assert [re.sub(" +", " ", line) for line in result.stdout.splitlines()] == [
        "problem settings.values DATABASE_URL: is not set.",
        f"problem settings.values {KEY_SETTINGS}.",
        "2 problems. Set this in the environment or in .env; nothing else was checked.",
    ]


@pytest.mark.parametrize("configured", [True, False])
def test_a_token_of_dev_is_recognised(
    patient: Patient, tmp_path: Path, *, configured: bool
) -> None:
    issuer = Issuer(tmp_path)
    issuer.make_key()
    changed = {} if configured else dict.fromkeys(("DATABASE_URL", "JWT_ISSUER"))
    diagnosis = patient.examined(issuer.token(SUB), **changed)
    diagnosis.says("token.key", "problem", "a token of `tasks-backend dev`", "from Better Auth")


def test_the_database_is_checked_although_the_key_settings_are_wrong(
    patient: Patient,
) -> None:
    diagnosis = patient.examined(JWT_ALGORITHMS="HS256")
    assert diagnosis.exit_code == 2
    diagnosis.says("settings.values", "problem", "JWT_ALGORITHMS: takes one or more of")
    diagnosis.says("database.row_level_security", "ok", "It holds")
    diagnosis.says("keys.endpoint", "note", SKIPPED)


def test_a_plugin_that_is_not_installed_is_an_invalid_setting(patient: Patient) -> None:
    diagnosis = patient.examined(PLUGINS="telepathy")
    assert diagnosis.exit_code == 2
    assert diagnosis.problems == {"settings.plugins"}
    diagnosis.says("settings.plugins", "problem", "'telepathy', which is not installed")


@pytest.mark.parametrize("character", "@/")
def test_a_password_with_an_at_sign_is_not_shown_as_the_host(
    patient: Patient, character: str
) -> None:
    """libpq reads the text after the first `@` as the host, and its errors show it."""
    url = f"postgresql://user:first{character}{PASSWORD}@host.invalid/database"
    diagnosis = patient.examined(DATABASE_URL=url)
    assert diagnosis.problems == {"settings.values"}
    diagnosis.says("settings.values", "problem", "percent-encode", "@ is %40")


# The database


@pytest.mark.parametrize(
    ("attributes", "outcome", "said"),
    [
        (NEON_OWNER, "ok", "switches to tasks_app"),
        (PLAIN_OWNER, "ok", "applies to the login"),
        (SUPERUSER, "note", "It is a superuser"),
    ],
    ids=["neon", "plain", "superuser"],
)
def test_row_level_security_is_checked_for_every_owner_without_leaving_rows(
    patient: Patient, cluster: Cluster, attributes: str, outcome: str, said: str
) -> None:
    name, url = cluster.database(cluster.login(attributes))
    migrations.upgrade(url)
    diagnosis = patient.examined(DATABASE_URL=url)
    assert diagnosis.exit_code == 0
    diagnosis.says("database.role", outcome, said)
    diagnosis.says("database.row_level_security", "ok", "It holds")
    with cluster.cursor(name) as cursor:
        for table in ("users", "tasks", "idempotency_keys"):
            cursor.execute(f"SELECT count(*) FROM tasks_backend.{table}")
            assert cursor.fetchone() == (0,)


@pytest.fixture
def own_database(cluster: Cluster, database: str) -> tuple[str, str]:
    """The name and the URL of a migrated database that a test may break; its owner is plain."""
    name, url = cluster.database(cluster.login(PLAIN_OWNER))
    migrations.upgrade(url)
    return name, url


@pytest.mark.parametrize(
    ("damage", "leaks"),
    [
        (
            "ALTER TABLE tasks_backend.tasks DISABLE ROW LEVEL SECURITY",
            [
                "foreign rows of tasks",
                "changes a foreign task",
                "without a user sees rows",
                "creates a task for another",
            ],
        ),
        ("ALTER TABLE tasks_backend.users NO FORCE ROW LEVEL SECURITY", ["foreign rows of users"]),
        (
            "ALTER POLICY own_rows ON tasks_backend.idempotency_keys USING (true)",
            ["foreign rows of idempotency_keys"],
        ),
        (
            "CREATE POLICY read_all ON tasks_backend.tasks FOR SELECT USING (true)",
            ["foreign rows of tasks"],
        ),
        (
            "CREATE POLICY plant ON tasks_backend.tasks FOR INSERT WITH CHECK (true)",
            ["creates a task for another"],
        ),
    ],
)
@pytest.mark.proves("SC-003")
def test_broken_row_level_security_is_found(
    patient: Patient,
    cluster: Cluster,
    own_database: tuple[str, str],
    damage: str,
    leaks: list[str],
) -> None:
    name, url = own_database
    with cluster.cursor(name) as cursor:
        cursor.execute(damage)
    diagnosis = patient.examined(DATABASE_URL=url)
    assert diagnosis.exit_code == 1
    mended = not damage.startswith("CREATE POLICY")  # `migrate` leaves others' policies alone
    expected = {"database.row_level_security"} | ({"database.schema"} if mended else set())
    assert diagnosis.problems == expected
    diagnosis.says("database.row_level_security", "problem", *leaks, "FORCE ROW LEVEL SECURITY")
    if mended:
        diagnosis.says("database.schema", "problem", "run `tasks-backend migrate`")
        migrations.upgrade(url)
        assert patient.examined(DATABASE_URL=url).exit_code == 0


def test_a_login_that_bypasses_the_policies_is_found(
    patient: Patient, cluster: Cluster, own_database: tuple[str, str]
) -> None:
    """Even with all other rights: the service refuses it, and so does the doctor."""
    name, _ = own_database
    login = cluster.login("BYPASSRLS")
    with cluster.cursor(name) as cursor:
        cursor.execute(f"GRANT USAGE ON SCHEMA tasks_backend TO {login}")
        cursor.execute(f"GRANT ALL ON ALL TABLES IN SCHEMA tasks_backend TO {login}")
        cursor.execute("REVOKE ALL ON SCHEMA tasks_backend FROM tasks_app")
    diagnosis = patient.examined(DATABASE_URL=cluster.url_of(name, login))
    assert diagnosis.exit_code == 1
    assert diagnosis.problems == {
        "database.role",
        "database.row_level_security",
        "database.schema",
    }
    diagnosis.says("database.role", "problem", "refuses the login", login, "migrate")
    diagnosis.says("database.row_level_security", "problem", "sees foreign rows of users")


@pytest.mark.parametrize("attributes", ["BYPASSRLS", "NOBYPASSRLS"])
def test_missing_rights_of_a_login_are_named(
    patient: Patient, cluster: Cluster, database: str, attributes: str
) -> None:
    login = cluster.login(attributes)
    url = cluster.url_of(parse_dsn(database)["dbname"], login)
    diagnosis = patient.examined(DATABASE_URL=url)
    assert diagnosis.exit_code == 1
    for check in ("database.row_level_security", "database.schema"):
        diagnosis.says(check, "problem", "42501", "GRANT tasks_app", f'TO "{login}"')
    (advice,) = re.findall(r'GRANT \S+ TO "\S+"', diagnosis.found["database.schema"][1])
    with cluster.cursor() as cursor:
        cursor.execute(advice)
    assert patient.examined(DATABASE_URL=url).exit_code == 0


def test_a_database_without_the_schema_needs_a_migration(
    patient: Patient, cluster: Cluster
) -> None:
    _, url = cluster.database(cluster.login(NEON_OWNER))
    diagnosis = patient.examined(DATABASE_URL=url)
    assert diagnosis.exit_code == 1
    assert diagnosis.problems == {"database.schema"}
    diagnosis.says("database.schema", "problem", "does not exist", "`tasks-backend migrate`")
    diagnosis.says("database.row_level_security", "note", SKIPPED)


def test_a_later_revision_is_no_problem(
    patient: Patient, cluster: Cluster, own_database: tuple[str, str]
) -> None:
    """Before a rollback: an older release serves with the newer one's schema (finding C8)."""
    name, url = own_database
    with cluster.cursor(name) as cursor:
        cursor.execute("UPDATE tasks_backend.alembic_version SET version_num = '0099'")
    diagnosis = patient.examined(DATABASE_URL=url)
    diagnosis.says("database.schema", "ok", "At revision 0099, later than", "it can serve with it")
    assert diagnosis.problems == set()


@pytest.mark.parametrize("revision", ["0001", None])
def test_another_revision_needs_a_migration(
    patient: Patient, cluster: Cluster, own_database: tuple[str, str], revision: str | None
) -> None:
    name, url = own_database
    with cluster.cursor(name) as cursor:
        cursor.execute("DELETE FROM tasks_backend.alembic_version")
        if revision:
            cursor.execute("INSERT INTO tasks_backend.alembic_version VALUES (%s)", (revision,))
    diagnosis = patient.examined(DATABASE_URL=url)
    assert diagnosis.problems == {"database.schema"}
    words = (
        f"at revision {revision or 'none'}",
        f"needs {REVISIONS[-1]}",
        "`tasks-backend migrate`",
    )
    diagnosis.says("database.schema", "problem", *words)


def test_a_missing_table_needs_a_migration(
    patient: Patient, cluster: Cluster, own_database: tuple[str, str]
) -> None:
    name, url = own_database
    with cluster.cursor(name) as cursor:
        cursor.execute("DROP TABLE tasks_backend.idempotency_keys, tasks_backend.alembic_version")
    diagnosis = patient.examined(DATABASE_URL=url)
    assert diagnosis.problems == {"database.row_level_security", "database.schema"}
    for check in diagnosis.problems:
        diagnosis.says(check, "problem", "42P01", "`tasks-backend migrate`")


def test_a_read_only_database_is_a_problem(
    patient: Patient, cluster: Cluster, own_database: tuple[str, str]
) -> None:
    name, url = own_database
    with cluster.cursor() as cursor:
        cursor.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    diagnosis = patient.examined(DATABASE_URL=url)
    assert diagnosis.problems == {"database.reachable", "database.row_level_security"}
    diagnosis.says("database.reachable", "problem", "read-only", "the address of the primary")
    diagnosis.says("database.row_level_security", "problem", "25006")


def test_a_check_that_hangs_or_fails_does_not_stop_the_others(
    patient: Patient, cluster: Cluster, own_database: tuple[str, str]
) -> None:
    """Another session locks two tables: one wait has its own timeout, the other gets one."""
    name, url = own_database
    with cluster.cursor(name) as cursor:
        cursor.execute("BEGIN")
        cursor.execute("LOCK TABLE tasks_backend.users, tasks_backend.alembic_version")
        diagnosis = patient.examined(DATABASE_URL=url)
        cursor.execute("ROLLBACK")
    assert diagnosis.problems == {"database.row_level_security", "database.schema"}
    words = ("another transaction holds a lock", "55P03")
    diagnosis.says("database.row_level_security", "problem", *words)
    diagnosis.says("database.schema", "problem", "did not finish in time")
    diagnosis.says("database.migrations", "ok")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"host": "127.0.0.1", "port": 1}, ["Connection refused", "that the server runs"]),
        ({"host": "no-such-host.invalid"}, ["name is not known"]),
        ({"host": "/no/such/directory"}, ["No such file", "that the server runs"]),
        ({"dbname": "nowhere"}, ['database "nowhere" does not exist', "create the database"]),
        ({"user": "nobody"}, ['role "nobody" does not exist', "correct the user's name"]),
    ],
)
@pytest.mark.proves("EDGE-4")
def test_the_reason_of_an_unreachable_database_is_named(
    patient: Patient, database: str, changed: dict[str, Any], words: list[str]
) -> None:
    url = make_dsn(database, password=PASSWORD, **changed)
    diagnosis = patient.examined(DATABASE_URL=url)
    assert diagnosis.exit_code == 1
    assert diagnosis.problems == {"database.reachable"}
    diagnosis.says("database.reachable", "problem", *words, "DATABASE_URL")
    diagnosis.says("keys.endpoint", "ok")
    diagnosis.says("clock.difference", "ok", "the key server agrees")


@pytest.fixture
def guarded(cluster: Cluster, database: str) -> Iterator[str]:
    """A URL without the password that its login needs."""
    login = cluster.login(f"PASSWORD '{PASSWORD}'")
    with cluster.cursor() as cursor:
        cursor.execute(f"GRANT tasks_app TO {login}")
        cursor.execute("SHOW hba_file")
        path = Path(cursor.fetchone()[0])
        before = path.read_text()
        path.write_text(f"local all {login} scram-sha-256\n{before}")
        cursor.execute("SELECT pg_reload_conf()")
    yield make_dsn(database, user=login)
    path.write_text(before)
    with cluster.cursor() as cursor:
        cursor.execute("SELECT pg_reload_conf()")


def wait_until_password_is_required(password: str, patient: Patient, url: str) -> Diagnosis:
    """Reloaded rules become active after some time."""
    give_up = time.monotonic() + 20
    while True:
        diagnosis = patient.examined(DATABASE_URL=make_dsn(url, password=password))
        if diagnosis.outcome("database.reachable") == "problem":
            return diagnosis
        assert time.monotonic() < give_up, "the password is not asked for"


def test_a_wrong_password_is_reported_and_not_shown(patient: Patient, guarded: str) -> None:
    diagnosis = wait_until_password_is_required(f"not-{PASSWORD}", patient, guarded)
    words = ("password authentication failed", "check the user and the password")
    diagnosis.says("database.reachable", "problem", *words)
    good = patient.examined(DATABASE_URL=make_dsn(guarded, password=PASSWORD))
    good.says("database.reachable", "ok")
    missing = patient.examined(DATABASE_URL=guarded)
    missing.says("database.reachable", "problem", "no password", "check the user and the password")


# The connection to the database


class Relay:
    """A relay before the server, like a pooler or proxy: with TLS, or with another process id."""

    def __init__(
        self, database: str, *, tls: ssl.SSLContext | None = None, renamed: bool = False
    ) -> None:
        target = parse_dsn(database)
        self._upstream = f"{target['host']}/.s.PGSQL.{target.get('port', '5432')}"
        self._tls = tls
        self._renamed = renamed

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        start = await reader.readexactly(8)
        if start[4:] == SSL_REQUEST:
            writer.write(b"N" if self._tls is None else b"S")
            await writer.drain()
            if self._tls is not None:
                await writer.start_tls(self._tls)
            start = await reader.readexactly(8)
        server_reader, server_writer = await asyncio.open_unix_connection(self._upstream)
        async with closing(server_writer):
            server_writer.write(start)
            await asyncio.gather(self._back(server_reader, writer), pump(reader, server_writer))

    async def _back(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        kind = b"" if self._renamed else b"K"
        while kind != b"K":  # the process id for cancel requests
            head = await source.readexactly(5)
            body = await source.readexactly(int.from_bytes(head[1:]) - 4)
            kind = head[:1]
            target.write(head + (b"\x7f\xff\xff\xff" + body[4:] if kind == b"K" else body))
        await pump(source, target)


async def pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(65536):
            target.write(data)
            await target.drain()
    target.close()


@contextlib.asynccontextmanager
async def closing(writer: asyncio.StreamWriter) -> AsyncIterator[None]:
    try:
        yield
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


SSL_REQUEST = (80877103).to_bytes(4)


@contextlib.contextmanager
def listening(
    handler: Callable[..., Coroutine[Any, Any, None]], tls: ssl.SSLContext | None = None
) -> Iterator[int]:
    """Serve connections on a loopback port, in a thread."""
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with closing(writer):
            await handler(reader, writer)

    async def start() -> asyncio.Server:
        return await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)

    async def stop(server: asyncio.Server) -> None:
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    server = asyncio.run_coroutine_threadsafe(start(), loop).result(20)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        asyncio.run_coroutine_threadsafe(stop(server), loop).result(20)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(20)
        loop.close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for db.example.com and its key, in one file."""
    return self_signed(tmp_path_factory.mktemp("tls") / "server.pem")


@pytest.fixture
def other_authority(tmp_path: Path) -> str:
    """The file of a certificate authority that did not sign the server's certificate."""
    return str(self_signed(tmp_path / "other.pem"))


def self_signed(path: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "db.example.com")])
    now = dt.datetime.now(dt.UTC)
    names = [x509.DNSName("db.example.com"), x509.DNSName("localhost")]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    path.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


@pytest.fixture
def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


@pytest.mark.parametrize(
    ("host", "sslmode", "outcome", "words"),
    [
        ("db.example.com", "verify-full", "ok", ["Encrypted (TLSv1", "verified (verify-full)"]),
        ("db.example.com", "require", "note", ["sslmode=require any server is trusted"]),
        ("db.example.com", "disable", "problem", ["in the clear", "sslmode=require or better"]),
        ("db", "disable", "note", ["your private network"]),
        ("10.1.2.3", "disable", "note", ["your private network"]),
        ("localhost", "disable", "ok", ["stays on this machine"]),
        ("127.0.0.1", "disable", "ok", ["stays on this machine"]),
    ],
)
def test_unencrypted_database_connections_are_found(
    patient: Patient,
    database: str,
    certificate: Path,
    tls: ssl.SSLContext,
    host: str,
    sslmode: str,
    outcome: str,
    words: list[str],
) -> None:
    with listening(Relay(database, tls=tls)) as port:
        way = {"host": host, "hostaddr": "127.0.0.1", "port": port, "sslmode": sslmode}
        url = make_dsn(database, sslrootcert=str(certificate), password=PASSWORD, **way)
        diagnosis = patient.examined(DATABASE_URL=url)
    diagnosis.says("database.tls", outcome, *words)
    assert diagnosis.problems == ({"database.tls"} if outcome == "problem" else set())


@pytest.mark.parametrize(
    ("offered", "changed", "words"),
    [
        (True, {"host": "other.example.com"}, ["is for another host", "check sslmode"]),
        (False, {"sslmode": "require"}, ["has no TLS", "sslmode=disable"]),
        (
            True,
            {"sslrootcert": "/no/ca.pem"},
            ["authorities is missing (sslrootcert)", "sslrootcert=/"],
        ),
        (True, {"sslrootcert": "other"}, ["not signed by"]),
    ],
)
def test_the_reason_of_a_failed_database_tls_is_named(
    patient: Patient,
    database: str,
    certificate: Path,
    tls: ssl.SSLContext,
    other_authority: str,
    *,
    offered: bool,
    changed: dict[str, str],
    words: list[str],
) -> None:
    way = {"host": "db.example.com", "hostaddr": "127.0.0.1", "sslmode": "verify-full"}
    way |= {"sslrootcert": str(certificate)} | changed
    if way["sslrootcert"] == "other":
        way["sslrootcert"] = other_authority
    with listening(Relay(database, tls=tls if offered else None)) as port:
        diagnosis = patient.examined(DATABASE_URL=make_dsn(database, port=port, **way))
    diagnosis.says("database.reachable", "problem", *words)


def test_the_advice_for_verify_full_works_with_the_installed_libpq(
    tmp_path: Path, database: str, certificate: Path, tls: ssl.SSLContext, key_server: KeyServer
) -> None:
    """SSL_CERT_FILE stands for the file of a system that trusts the server's authority."""
    with listening(Relay(database, tls=tls)) as port:
        way = {"host": "db.example.com", "hostaddr": "127.0.0.1", "port": port}
        url = make_dsn(database, sslmode="verify-full", **way)
        variables = {"BETTER_AUTH_URL": key_server.url, "SSL_CERT_FILE": str(certificate)}
        alone = run(tmp_path, "doctor", DATABASE_URL=url, **variables).stdout
        migrated = run(tmp_path, "migrate", DATABASE_URL=url, **variables).stderr
        (advice,) = set(re.findall(r"sslrootcert=(\S+)", alone))
        assert "sslrootcert=system" not in alone + migrated
        followed = make_dsn(url, sslrootcert=advice)
        examined = run(tmp_path, "doctor", DATABASE_URL=followed, **variables).stdout
    assert re.search(r"database.tls +Encrypted .* and the server is verified", examined), examined


def test_a_pooler_is_recognised_by_its_name_or_its_behaviour(
    patient: Patient, database: str
) -> None:
    named = {"host": "ep-x-pooler.example.com", "hostaddr": "127.0.0.1"}
    plain = {"host": "127.0.0.1"}
    with (
        listening(Relay(database)) as port,
        listening(Relay(database, renamed=True)) as renaming,
    ):
        for way, at, outcome in ((named, port, "note"), (plain, renaming, "ok")):
            url = make_dsn(database, port=at, sslmode="disable", **way)
            diagnosis = patient.examined(DATABASE_URL=url)
            diagnosis.says("database.pooling", "ok", "Pooled")
            diagnosis.says("database.row_level_security", "ok")
            diagnosis.says("database.migrations", outcome)  # the second keeps sessions
            with_direct = patient.examined(DATABASE_URL=url, DATABASE_URL_UNPOOLED=database)
            with_direct.says("database.migrations", "ok", "leads to the same database")
        direct = patient.examined(DATABASE_URL=make_dsn(database, port=port, **plain))
        direct.says("database.pooling", "ok", "Direct")
        direct.says("database.migrations", "ok", "which keeps sessions")


def test_the_address_for_migrations_must_be_direct_and_of_the_same_database(
    patient: Patient, database: str
) -> None:
    pooled = make_dsn(database, host="ep-x-pooler.example.com")
    diagnosis = patient.examined(DATABASE_URL_UNPOOLED=pooled)
    assert diagnosis.problems == {"database.migrations"}
    diagnosis.says("database.migrations", "problem", "is a pooler's address")
    berlin = make_dsn(database, options="-c timezone=Europe/Berlin")
    assert not patient.examined(DATABASE_URL_UNPOOLED=berlin).problems
    other = make_dsn(database, dbname="postgres")
    diagnosis = patient.examined(DATABASE_URL_UNPOOLED=other)
    assert diagnosis.problems == {"database.migrations"}
    diagnosis.says("database.migrations", "problem", "another server or database", "postgres")
    away = make_dsn(database, host="127.0.0.1", port=1)
    diagnosis = patient.examined(DATABASE_URL_UNPOOLED=away)
    assert diagnosis.problems == {"database.migrations"}
    words = ("Connection refused", "(DATABASE_URL_UNPOOLED)")
    diagnosis.says("database.migrations", "problem", *words)


def test_hanging_servers_do_not_make_the_command_hang(
    patient: Patient, database: str, signer: Signer
) -> None:
    """Neither a server that accepts and sends nothing, nor an endpoint that never answers."""
    released = Event()

    def silent(_: BaseHTTPRequestHandler) -> None:
        released.wait(60)

    with PostgresProxy(database) as proxy, KeyServer(silent) as keys:
        proxy.freeze()
        diagnosis = patient.examined(
            signer.token(SUB), DATABASE_URL=proxy.url, JWKS_URL=keys.url, JWKS_TIMEOUT="1"
        )
        released.set()
    assert diagnosis.problems == {"database.reachable", "keys.endpoint", "token.verdict"}
    diagnosis.says("database.reachable", "problem", "no answer in time")
    diagnosis.says("keys.endpoint", "problem", "did not answer within 1 s")
    diagnosis.says("token.verdict", "problem", "without the keys", "503 auth_unavailable")


# The keys


def answer(status: int = 200, body: bytes = b"", *, date: bool = True, **headers: str) -> Answer:
    def answering(request: BaseHTTPRequestHandler) -> None:
        request.send_response_only(status)
        if date:
            headers.setdefault("Date", formatdate(usegmt=True))
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(body)

    return answering


@pytest.mark.parametrize(
    ("answering", "words"),
    [
        (answer(404), ["status 404", "BETTER_AUTH_URL or JWKS_URL", "JWT plugin"]),
        (answer(401), ["status 401", "make it public"]),
        (answer(403), ["status 403", "make it public"]),
        (answer(500), ["status 500", "log of the auth server"]),
        (answer(302, Location="https://elsewhere.example.com/"), ["redirects (302)"]),
        (answer(200, b"<!doctype html>"), ["no key set (no JSON)", "right address"]),
        (answer(200, b'{"jwks": []}'), ["no key set (no list of keys)", "right address"]),
        (answer(200, b" " * 300_000), ["more than 262144 bytes"]),
    ],
)
def test_the_reason_of_an_address_without_keys_is_named(
    patient: Patient, answering: Answer, words: list[str]
) -> None:
    with KeyServer(answering) as keys:
        diagnosis = patient.examined(JWKS_URL=keys.url)
    assert diagnosis.exit_code == 1
    assert diagnosis.problems == {"keys.endpoint"}
    diagnosis.says("keys.endpoint", "problem", keys.url, *words)
    diagnosis.says("keys.usable", "note", SKIPPED)


def test_the_reason_of_a_failed_connection_to_the_keys_is_named(
    patient: Patient, tls: ssl.SSLContext
) -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"neither TLS nor HTTP\r\n\r\n")
        await reader.read()

    with listening(babble, tls) as encrypted, listening(babble) as plain:
        for url, word in {
            "http://127.0.0.1:1/jwks": "nothing listens there",
            "https://no-such-host.invalid/jwks": "host's name is not known",
            f"https://localhost:{encrypted}/jwks": "its certificate is not valid",
            f"https://localhost:{plain}/jwks": "it does not speak TLS",
            f"http://localhost:{plain}/jwks": "it broke off",
        }.items():
            diagnosis = patient.examined(JWKS_URL=url)
            assert diagnosis.problems == {"keys.endpoint"}
            diagnosis.says("keys.endpoint", "problem", url, word)


def test_credentials_in_the_address_of_the_keys_are_not_shown(
    patient: Patient, signer: Signer
) -> None:
    with KeyServer(answer(200, key_set(signer))) as keys:
        url = keys.url.replace("//", f"//user:{PASSWORD}@") + f"?apikey={PASSWORD}"
        diagnosis = patient.examined(JWKS_URL=url)
    diagnosis.says("keys.endpoint", "ok", keys.url)


def weak(signer: Signer) -> dict[str, Any]:
    """A key with which anyone can sign: a point of small order."""
    point = base64.urlsafe_b64encode(b"\x01" + bytes(31)).rstrip(b"=").decode()
    return {**signer.jwk, "kid": "weak", "x": point}


def test_unused_keys_are_counted_with_the_reason(patient: Patient, signer: Signer) -> None:
    secret = {**signer.jwk, "kid": "secret", "d": signer.jwk["x"]}
    for members, outcome, words in (
        ([signer.jwk, weak(signer), secret], "note", ["1 usable key (EdDSA)", "1 secret, 1 weak"]),
        ([weak(signer)], "problem", ["No published key can be used: 1 weak"]),
        ([], "note", ["No key is published, which is normal"]),
    ):
        with KeyServer(json_answer(json.dumps({"keys": members}).encode())) as keys:
            diagnosis = patient.examined(JWKS_URL=keys.url)
        diagnosis.says("keys.endpoint", "ok")
        diagnosis.says("keys.usable", outcome, *words)


def test_an_endpoint_that_answers_only_sometimes_is_a_problem(
    patient: Patient, signer: Signer
) -> None:
    """The service's fetch fails and the doctor's succeeds, or the reverse."""
    turns = count()

    def every_other(request: BaseHTTPRequestHandler) -> None:
        good = next(turns) % 2
        answer(200 if good else 503, key_set(signer) if good else b"")(request)

    with KeyServer(every_other) as keys:
        diagnosis = patient.examined(JWKS_URL=keys.url)
    assert diagnosis.problems == {"keys.endpoint"}


# Clocks


@pytest.mark.parametrize(
    ("headers", "outcome", "words"),
    [
        (
            {"Date": formatdate(time.time() + 172_800, usegmt=True)},
            "problem",
            ["key server is", "ahead", "NTP"],
        ),
        (
            {"Date": formatdate(time.time() - 7200, usegmt=True)},
            "problem",
            ["key server is", "behind", "NTP"],
        ),
        ({"Date": "yesterday"}, "ok", ["the database agrees"]),
        ({}, "ok", ["the database agrees"]),
    ],
)
def test_a_wrong_clock_is_reported(
    patient: Patient, signer: Signer, headers: dict[str, str], outcome: str, words: list[str]
) -> None:
    with KeyServer(answer(200, key_set(signer), date=False, **headers)) as keys:
        diagnosis = patient.examined(JWKS_URL=keys.url)
    diagnosis.says("clock.difference", outcome, *words)


@pytest.mark.parametrize(
    ("known", "outcome", "words"),
    [
        (Clocks(None, -60), "note", ["the database is 1 min behind", "The times of tasks"]),
        (Clocks(-1, 60), "note", ["the clock of the database is 1 min ahead"]),
        (Clocks(9, None), "ok", ["the key server is 9 s ahead"]),
        (Clocks(-11, 60), "problem", ["the key server is 11 s behind and", "1 min ahead"]),
    ],
)
def test_only_the_key_servers_clock_can_be_a_problem(
    known: Clocks, outcome: str, words: list[str]
) -> None:
    (finding,) = clocks.findings(known)
    assert finding.outcome == outcome
    for word in words:
        assert word in finding.message


def test_an_answer_from_a_cache_is_not_taken_for_a_wrong_clock(
    patient: Patient, signer: Signer
) -> None:
    def cached(request: BaseHTTPRequestHandler) -> None:
        date = formatdate(time.time() - 600, usegmt=True)
        answer(200, key_set(signer), Date=date, Age="600")(request)

    with KeyServer(cached) as keys:
        patient.examined(JWKS_URL=keys.url).says("clock.difference", "ok", "agrees")


# Tokens


@dataclass
class Bench:
    """The keys for tokens: a trusted one, an untrusted one, and some refused ones."""

    signer: Signer
    stranger: Signer
    rsa: Signer

    def sealed(self, header: Any, payload: Any) -> str:
        """A token with exactly these parts and a real signature."""
        parts = [
            part if isinstance(part, bytes) else json.dumps(part).encode()
            for part in (header, payload)
        ]
        message = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
        signature = self.signer.private.sign(message)  # type: ignore[call-arg] # an Ed25519 key
        return (message + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode()

    @property
    def header(self) -> dict[str, Any]:
        return {"alg": "EdDSA", "kid": self.signer.kid}

    @property
    def claims(self) -> dict[str, Any]:
        return self.signer.claims(SUB)


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench(Signer(), Signer(), Signer("RS256"))


@pytest.fixture(scope="module")
def published(bench: Bench) -> Iterator[str]:
    """The address of a key set with a valid key and an unused one."""
    unused = {**bench.signer.jwk, "kid": "unused", "use": "enc"}
    body = json.dumps({"keys": [bench.signer.jwk, bench.rsa.jwk, unused]}).encode()
    with KeyServer(json_answer(body)) as keys:
        yield keys.url


def now() -> int:
    return int(time.time())


def test_a_good_token_is_reported_as_accepted(
    patient: Patient, bench: Bench, published: str
) -> None:
    for token in (
        bench.signer.token(SUB),
        bench.rsa.token(SUB),
        f"  {bench.signer.token(SUB)}\r\n",
        bench.signer.token(SUB, header={"typ": "jwt"}, aud=["https://other.example.com", AUDIENCE]),
    ):
        diagnosis = patient.examined(token, JWKS_URL=published)
        assert diagnosis.exit_code == 0
        diagnosis.says("token.verdict", "ok", "The service accepts it")
        assert {diagnosis.outcome(check) for check in diagnosis.found if "token." in check} == {
            "ok"
        }


Make = Callable[[Bench], str]
REFUSALS: dict[str, tuple[Make, dict[str, list[str]]]] = {
    # Not a signed token
    "nothing": (lambda _: "\n", {"form": ["standard input was empty"]}),
    "a header": (lambda b: f"Bearer {b.signer.token(SUB)}", {"form": ["the word Bearer"]}),
    "quoted": (lambda b: f'"{b.signer.token(SUB)}"', {"form": ["quotation marks"]}),
    "wrapped": (
        lambda b: b.signer.token(SUB)[:100] + "\n" + b.signer.token(SUB)[100:],
        {"form": ["white space inside"]},
    ),
    "a session token": (
        lambda _: "IzYlq4a1VtP0hZsKkPn3o7Jr9TgWcXbE",
        {"form": ["session token", "/token", "set-auth-jwt"]},
    ),
    "encrypted": (
        lambda _: "eyJh.eyJi.eyJj.eyJk.eyJl",
        {"form": ["encrypted token (JWE)", "session cookie", "/token"]},
    ),
    "newer name": (
        lambda b: b.sealed({**b.header, "alg": "Ed25519"}, b.claims),
        {"algorithm": ["RFC 9864", "sign as EdDSA"], "key": ["published for EdDSA"]},
    ),
    "no base URL": (
        lambda b: b.signer.token(SUB, iss="", aud=""),
        {"issuer": ["is empty", "baseURL"], "audience": ["is empty", "baseURL"]},
    ),
    "milliseconds": (
        lambda b: b.signer.token(SUB, exp=int(time.time() * 1000) + 900_000),
        {"expiry": ["in milliseconds", '"15m"']},
    ),
    "four parts": (lambda b: b.signer.token(SUB) + ".x", {"form": ["4 parts"]}),
    "unsigned": (
        lambda b: b.signer.token(SUB).rpartition(".")[0] + ".",
        {"form": ["not signed"]},
    ),
    "padded": (lambda b: b.signer.token(SUB) + "==", {"form": ["characters that no token has"]}),
    "header no JSON": (lambda b: b.sealed(b"{", b.claims), {"form": ["first part", "damaged"]}),
    "payload no object": (lambda b: b.sealed(b.header, []), {"form": ["second part", "damaged"]}),
    "a name twice": (
        lambda b: b.sealed(b.header, b'{"sub":"a",' + json.dumps(b.claims).encode()[1:]),
        {"form": ["second part", "repeats a name"]},
    ),
    "too long": (
        lambda b: b.signer.token(SUB, image="x" * 9000),
        {"size": ["JWT_MAX_BYTES allows 8192", "definePayload"]},
    ),
    # The header
    "critical": (
        lambda b: b.sealed({**b.header, "crit": ["exp"], "zip": "DEF"}, b.claims),
        {"header": ["crit and zip"]},
    ),
    "symmetric": (
        lambda b: b.sealed({**b.header, "alg": "HS256"}, b.claims),
        {"algorithm": ["HS256", "can never be", "session cookie"], "key": ["published for EdDSA"]},
    ),
    "none": (
        lambda b: b.sealed({**b.header, "alg": "none"}, b.claims),
        {"algorithm": ["none", "can never be"], "key": ["published for EdDSA"]},
    ),
    "not allowed": (
        lambda b: b.sealed({**b.header, "alg": "ES384"}, b.claims),
        {"algorithm": ["ES384", "add it to JWT_ALGORITHMS"], "key": ["published for EdDSA"]},
    ),
    "no algorithm": (
        lambda b: b.sealed({"kid": b.signer.kid}, b.claims),
        {"algorithm": ["has no alg"], "key": ["published for EdDSA"]},
    ),
    "another kind": (
        lambda b: b.signer.token(SUB, header={"typ": "logout+jwt"}),
        {"type": ["logout+jwt, a logout notice", "/token"]},
    ),
    "an unknown kind": (
        lambda b: b.signer.token(SUB, header={"typ": "x+jwt"}),
        {"type": ["x+jwt: this token is for another purpose", "/token"]},
    ),
    "a kind that is no text": (
        lambda b: b.sealed({**b.header, "typ": ["JWT"]}, b.claims),
        {"type": ["something that is not text", "for another purpose"]},
    ),
    # The purpose
    "an access token": (
        lambda b: b.signer.token(
            SUB, header={"typ": "at+jwt"}, client_id="spa", azp="spa", scope="openid"
        ),
        {
            "type": ["at+jwt, an access token", "auth.api.getToken", "disabledPaths"],
            "purpose": ["azp, client_id, scope", "an access token", "OAuth provider"],
        },
    ),
    "an access token of another typ": (
        lambda b: b.signer.token(SUB, header={"typ": "application/at+jwt"}),
        {"type": ["application/at+jwt, an access token"]},
    ),
    "an ID token": (
        lambda b: b.signer.token(SUB, nonce="n-0S6", auth_time=1, acr="0"),
        {
            "purpose": [
                "acr, auth_time, nonce",
                "an ID token",
                "who has signed in",
                "OIDC or MCP plugin",
                "/token",
                "definePayload",
            ]
        },
    ),
    "an empty claim of a client": (
        lambda b: b.sealed(b.header, {**b.claims, "cnf": None}),
        {"purpose": ["It has cnf, so it is an access token"]},
    ),
    "no key id": (
        lambda b: b.sealed({"alg": "EdDSA"}, b.claims),
        {"key": ["no valid key id"]},
    ),
    # The signature
    "unknown key": (
        lambda b: b.stranger.token(SUB),
        {"key": ["not among the 3 published keys", "another Better Auth instance"]},
    ),
    "unused key": (
        lambda b: b.sealed({**b.header, "kid": "unused"}, b.claims),
        {"key": ["published, but not used"]},
    ),
    "another key's id": (
        lambda b: b.sealed({**b.header, "kid": b.rsa.kid}, b.claims),
        {"key": ["published for RS256"]},
    ),
    "forged": (
        lambda b: b.stranger.token(SUB, header={"kid": b.signer.kid}),
        {"signature": ["is not valid"]},
    ),
    # Issuer and audience
    "another issuer": (
        lambda b: b.signer.token(SUB, iss="https://evil.example.com"),
        {"issuer": ["https://evil.example.com", ISSUER, "JWT_ISSUER"]},
    ),
    "a slash more": (
        lambda b: b.signer.token(SUB, iss=f"{ISSUER}/", aud=f"{AUDIENCE}/"),
        {"issuer": ["differ in the slash"], "audience": ["differ in the slash"]},
    ),
    "http": (
        lambda b: b.signer.token(SUB, iss=ISSUER.replace("https", "http")),
        {"issuer": ["differ in http and https"]},
    ),
    "capitals": (
        lambda b: b.signer.token(SUB, iss=ISSUER.upper()),
        {"issuer": ["differ in capital letters"]},
    ),
    "no issuer": (lambda b: b.signer.token(SUB, iss=None), {"issuer": ["names no issuer"]}),
    "an issuer that is no text": (
        lambda b: b.sealed(b.header, {**b.claims, "iss": [ISSUER]}),
        {"issuer": ["something that is not text"]},
    ),
    "an issuer that paints the terminal": (
        lambda b: b.signer.token(SUB, iss="\x1b[31mred\u202e" + "x" * 500),
        {"issuer": ["\ufffd[31mred\ufffdxxx", "…"]},
    ),
    "other audiences": (
        lambda b: b.signer.token(SUB, aud=["https://one.example.com", "two"]),
        {"audience": ["https://one.example.com, two", "JWT_AUDIENCE"]},
    ),
    "an audience that is no text": (
        lambda b: b.signer.token(SUB, aud=[AUDIENCE, 1]),
        {"audience": ["something that is not text"]},
    ),
    "no audience": (lambda b: b.signer.token(SUB, aud=None), {"audience": ["names no audience"]}),
    # Times
    "expired": (
        lambda b: b.signer.token(SUB, iat=now() - 1100, exp=now() - 200),
        {"expiry": ["It expired", "agrees", "get a new one"]},
    ),
    "expired in 1970": (
        lambda b: b.signer.token(SUB, exp=3600),
        {"expiry": ["expirationTime", '"15m"']},
    ),
    "an expiry in words": (
        lambda b: b.sealed(b.header, {**b.claims, "exp": "1795216891"}),
        {"expiry": ["not a number of seconds"]},
    ),
    "without an end": (lambda b: b.signer.token(SUB, exp=None), {"expiry": ["has no exp"]}),
    "for a year": (
        lambda b: b.signer.token(SUB, exp=now() + 365 * 86_400),
        {"expiry": ["365 days", "at most 7 days", "JWT_MAX_LIFETIME"]},
    ),
    "without a beginning": (lambda b: b.signer.token(SUB, iat=None), {"issued": ["has no iat"]}),
    "from the future": (
        lambda b: b.signer.token(SUB, iat=now() + 120),
        {"issued": ["It was issued", "from now", "NTP"]},
    ),
    "not yet good": (
        lambda b: b.signer.token(SUB, nbf=now() + 600),
        {"issued": ["It becomes valid only", "NTP"]},
    ),
    "a beginning that is none": (
        lambda b: b.sealed(b.header, {**b.claims, "nbf": None}),
        {"issued": ["Its nbf is not a number of seconds"]},
    ),
    # The user
    "nobody": (lambda b: b.sealed(b.header, {**b.claims, "sub": None}), {"subject": ["no user"]}),
    "an empty name": (lambda b: b.signer.token(""), {"subject": ["has 0 characters"]}),
    "a long name": (lambda b: b.signer.token("x" * 256), {"subject": ["has 256 characters"]}),
    "a number": (
        lambda b: b.sealed(b.header, {**b.claims, "sub": 7}),
        {"subject": ["is not a string", "getSubject"]},
    ),
    "a control character": (
        lambda b: b.signer.token("user\x00"),
        {"subject": ["control characters", "getSubject"]},
    ),
    "a name that is blank": (
        lambda b: b.signer.token("\u3000"),
        {"subject": ["no visible character", "getSubject"]},
    ),
    "a name and a space": (
        lambda b: b.signer.token(f"{SUB} "),
        {"subject": ["ends with white space", "getSubject"]},
    ),
}


@pytest.mark.proves("EDGE-2", "EDGE-6", "FR-009", "FR-017")
@pytest.mark.parametrize("name", REFUSALS)
def test_the_reason_of_a_refused_token_is_named(
    patient: Patient, bench: Bench, published: str, name: str
) -> None:
    make, expected = REFUSALS[name]
    diagnosis = patient.examined(make(bench), JWKS_URL=published)
    code = "expired_token" if name.startswith("expired") else "invalid_token"
    diagnosis.says("token.verdict", "problem", f"The service refuses it: 401 {code}.")
    assert diagnosis.exit_code == 1
    assert diagnosis.problems == {"token.verdict", *(f"token.{check}" for check in expected)}
    for check, words in expected.items():
        diagnosis.says(f"token.{check}", "problem", *words)


@pytest.mark.parametrize("name", sorted(ACCESS_TOKEN_CLAIMS | ID_TOKEN_CLAIMS))
def test_each_claim_of_client_tokens_is_named(
    patient: Patient, bench: Bench, published: str, name: str
) -> None:
    token = bench.sealed(bench.header, {**bench.claims, name: ""})
    diagnosis = patient.examined(token, JWKS_URL=published)
    assert diagnosis.problems == {"token.verdict", "token.purpose"}
    diagnosis.says("token.purpose", "problem", f"It has {name}, so it is an ")


def test_a_token_refused_only_by_a_wrong_clock_names_the_clock(
    patient: Patient, bench: Bench
) -> None:
    """The key server's clock is an hour behind: by it, the token is still valid."""
    issued = now() - 3660
    token = bench.signer.token(SUB, iat=issued, exp=issued + 900)
    date = formatdate(issued, usegmt=True)
    with KeyServer(answer(200, key_set(bench.signer), date=False, Date=date)) as keys:
        diagnosis = patient.examined(token, JWKS_URL=keys.url)
    words = ("It expired 46 min", "the key server is 1 h", "behind", "set this machine's clock")
    diagnosis.says("token.expiry", "problem", *words)


def test_a_token_is_checked_as_far_as_possible_without_keys(patient: Patient, bench: Bench) -> None:
    with KeyServer(answer(503)) as keys:
        diagnosis = patient.examined(bench.signer.token(SUB, iss="x"), JWKS_URL=keys.url)
    diagnosis.says("token.verdict", "problem", "cannot be verified without the keys", "503")
    diagnosis.says("token.key", "note", SKIPPED)
    diagnosis.says("token.issuer", "problem", "It is from x")


def test_a_just_expired_token_is_tolerated() -> None:
    """The clocks of two servers may differ."""
    issued = {"iat": now() - 100, "exp": now() - 1}
    settings = Settings(_env_file=None, database_url="postgresql://host/x", better_auth_url=ISSUER)
    found = {
        finding.check: finding for finding in claims.findings(issued, settings, Clocks(1, None))
    }
    assert found["token.expiry"].outcome == "ok"
    assert "10 s are tolerated" in found["token.expiry"].message


# At the terminal


def at_a_terminal(
    home: Path, *arguments: str, typed: str | None = None, **variables: str
) -> tuple[int, str]:
    """The exit code of a command in a terminal, and the terminal's content.

    `typed` is sent when the command prompts for it; without it, standard input is empty.
    """
    terminal, end = pty.openpty()
    kept = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE")}
    basic = {"PATH": "/usr/sbin:/sbin", "HOME": str(home), "LANG": "C.UTF-8"}
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        stdin=subprocess.DEVNULL if typed is None else end,
        stdout=end,
        stderr=end,
        env={**basic, "TERM": "xterm-256color", **kept, **variables},
        cwd=home,
        start_new_session=True,
    )
    os.close(end)
    output = b""
    with contextlib.suppress(OSError):  # Linux reports this when the other end is closed
        while data := os.read(terminal, 65536):
            output += data
            if typed is not None and output.endswith(b": "):
                os.write(terminal, typed.encode() + b"\n")
                typed = None
    os.close(terminal)
    return process.wait(60), output.decode()


def test_a_terminal_gets_colours_and_a_pipe_plain_lines(
    patient: Patient, tmp_path: Path, database: str
) -> None:
    settings = {name: value for name, value in patient.environment().items() if value}
    settings["DATABASE_URL"] = make_dsn(database, dbname="nowhere", password=PASSWORD)
    code, text = at_a_terminal(tmp_path, "doctor", COLUMNS="70", **settings)
    assert code == 1
    assert "\x1b[" in text
    shows_no_secret(text)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    lines = plain.splitlines()
    assert all(len(line) <= 70 for line in lines)
    assert [line for line in lines if line and not line.startswith(" ")] == [
        "Settings",
        "Database",
        "Keys",
        "Clock",
        "1 problem.",
    ]
    words = "Not checked: tls, pooling, role, row level security, schema, migrations, dump."
    assert words in " ".join(plain.split())
    with contextlib.chdir(tmp_path):
        piped = CliRunner().invoke(app, ["doctor"], env=patient.environment(**settings))
    assert (piped.exit_code, piped.stderr) == (1, "")
    shows_no_secret(piped.stdout)
    lines = piped.stdout.splitlines()
    assert "\x1b" not in piped.stdout
    assert lines[-1] == "1 problem."
    assert len(lines) == sum(len(CHECKS[area]) for area in CHECKS if area != "token") + 1
    assert all(re.match(r"(ok|note|problem) +\w+\.\w+ +\S", line) for line in lines[:-1])


@pytest.mark.parametrize(
    "arguments",
    [["doctor", "{}"], ["doctor", "--token", "{}"], ["doctor", "--token={}"]],
    ids=["alone", "after the option", "with the option"],
)
def test_a_token_on_the_command_line_is_refused_and_not_repeated(
    patient: Patient, signer: Signer, arguments: list[str]
) -> None:
    token = signer.token(SUB)
    given = [argument.format(token) for argument in arguments]
    result = CliRunner().invoke(app, given, env=patient.environment())
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--token -" in result.stderr
    shows_no_secret(result.output, token)


def test_a_pasted_token_is_not_shown(patient: Patient, tmp_path: Path, signer: Signer) -> None:
    """Standard input is a terminal without echo."""
    token = signer.token(SUB)
    settings = {name: value for name, value in patient.environment().items() if value}
    arguments = ("doctor", "--token", "-")
    code, shown = at_a_terminal(tmp_path, *arguments, typed=token, **settings)
    assert code == 0
    assert "The service accepts it" in shown
    shows_no_secret(shown, token)
