"""TLS to PostgreSQL itself, with a certificate authority of one's own, and through Neon's kind of proxy."""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest
from psycopg2.extensions import make_dsn
from support.authority import Authority
from support.commands import free_port, invoked
from support.neon import NeonProxy

from tasks_backend import Settings, create_app
from tasks_backend.db import migrations
from tasks_backend.testing.databases import NEON_OWNER
from tasks_backend.testing.key_server import KeyServer
from tasks_backend.testing.service import User, problem, served
from tasks_backend.testing.signing import Signer
from tasks_backend.testing.waiting import until

pytest.importorskip("psutil", reason="the server's programs are watched with it")

from faults.postgres import Postgres
from faults.programs import ordinary_user

TASKS = "/api/v1/tasks"
ENDPOINT = "ep-calm-sea-12345678"
HOST = f"{ENDPOINT}.eu-central-1.aws.neon.test"
POOLED = HOST.replace(ENDPOINT, f"{ENDPOINT}-pooler")
PASSWORD = "correct horse"
STRICT = {"sslmode": "verify-full", "channel_binding": "require"}
ACCESS = """
local all all trust
hostssl all trusted 127.0.0.1/32 trust
hostssl all all 127.0.0.1/32 scram-sha-256
"""


@dataclass(frozen=True)
class Server:
    """A PostgreSQL that demands TLS, with a migrated database."""

    postgres: Postgres
    port: int
    authority: Path
    other_authority: Path
    database: str
    login: str

    def url(self, **changed: object) -> str:
        """Return the URL of its owner over TLS; the name needs no resolver."""
        parts = {
            "dbname": self.database,
            "user": self.login,
            "password": PASSWORD,
            "host": HOST,
            "hostaddr": "127.0.0.1",
            "port": self.port,
            "sslrootcert": str(self.authority),
        }
        return str(make_dsn("", **{**parts, **STRICT, **changed}))


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Debian's PostgreSQL: the embedded one has no TLS."""
    binaries = max(Path("/usr/lib/postgresql").glob("*/bin"), default=None)
    if binaries is None:
        refuse = pytest.fail if os.environ.get("CI") else pytest.skip
        refuse("not installed: postgresql")
    directory = Path(tempfile.mkdtemp(prefix="tasks-backend-tls-"))
    directory.chmod(0o755)
    postgres = Postgres(directory, binaries)
    home, port = Path(postgres.home), free_port()
    authority, other = Authority(directory), Authority(directory, "other")
    certificate, key = home / "server.pem", home / "server.key"
    authority.issue(certificate, key, HOST, POOLED)
    if user := ordinary_user():
        shutil.chown(key, user)
    with (home / "data/postgresql.conf").open("a") as configuration:
        configuration.write(
            f"listen_addresses = '127.0.0.1'\nport = {port}\npassword_encryption = 'scram-sha-256'\n"
            f"ssl = on\nssl_cert_file = '{certificate}'\nssl_key_file = '{key}'\n"
        )
    (home / "data/pg_hba.conf").write_text(ACCESS)
    postgres.port = port
    try:
        postgres.start()
        login = postgres.cluster.login(f"{NEON_OWNER} PASSWORD '{PASSWORD}'")
        name, url = postgres.cluster.database(login)
        migrations.upgrade(url)
        with postgres.cluster.cursor() as cursor:
            cursor.execute(f"CREATE ROLE trusted LOGIN IN ROLE {login}")
        yield Server(postgres, port, authority.file, other.file, name, login)
    finally:
        postgres.stop()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def proxy(server: Server) -> Iterator[NeonProxy]:
    with NeonProxy(ENDPOINT, server.port, server.postgres.start) as proxy:
        yield proxy
    if not server.postgres.answers():
        server.postgres.start()


@pytest.mark.proves("FR-007")
def test_the_strictest_connection_serves_and_migrates(
    server: Server, settings: Settings, signer: Signer, key_server: KeyServer, tmp_path: Path
) -> None:
    app = create_app(settings.model_copy(update={"database_url": server.url()}))
    headers = {"Authorization": f"Bearer {signer.token('tls')}"}
    with served(app) as base, httpx2.Client(base_url=base, headers=headers) as client:
        task = User("tls", client).create()
        assert client.get(f"{TASKS}/{task['id']}").json() == task
        assert client.get("/readyz").status_code == 200
    variables = {"DATABASE_URL": server.url(), "BETTER_AUTH_URL": key_server.url}
    assert invoked(tmp_path, "migrate", **variables).exit_code == 0
    examined = invoked(tmp_path, "doctor", **variables).stdout
    assert re.search(
        r"Encrypted \(TLSv1\S+\), and the server is verified \(channel binding\)", examined
    )


@pytest.mark.proves("FR-012")
@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"sslrootcert": "other"}, "is not signed by the authority in sslrootcert"),
        ({"host": "ep-other.neon.test"}, "the server's certificate is for another host name"),
        ({"user": "trusted"}, "the server offers no channel binding"),
        ({"password": "wrong"}, "the server refuses the user or the password"),
        (
            {"sslmode": "disable", "channel_binding": "disable"},
            "the server demands TLS",
        ),
    ],
)
def test_a_weaker_connection_is_refused_with_its_sentence(
    server: Server,
    settings: Settings,
    signer: Signer,
    caplog: pytest.LogCaptureFixture,
    changed: dict[str, str],
    sentence: str,
) -> None:
    if "sslrootcert" in changed:
        changed = {"sslrootcert": str(server.other_authority)}
    url = server.url(**changed)
    headers = {"Authorization": f"Bearer {signer.token('tls')}"}
    app = create_app(settings.model_copy(update={"database_url": url}))
    with served(app) as base, httpx2.Client(base_url=base, headers=headers) as client:
        problem(client.get(TASKS), 503, "database_unavailable")
    assert sentence in caplog.text
    assert PASSWORD not in caplog.text


@pytest.mark.proves("FR-007", "FR-012")
def test_a_compute_that_is_suspended_and_woken_costs_no_error(
    server: Server, proxy: NeonProxy, settings: Settings, signer: Signer
) -> None:
    """Connections are cut while it wakes; and it is suspended under open connections."""
    url = server.url(host=POOLED, port=proxy.port)
    app = create_app(settings.model_copy(update={"database_url": url}))
    headers = {"Authorization": f"Bearer {signer.token('cold')}"}
    with (
        served(app) as base,
        httpx2.Client(base_url=base, headers=headers, timeout=60) as client,
        ThreadPoolExecutor() as executor,
    ):
        user = User("cold", client)
        made = [user.create(title="warm")]
        for is_cut in (False, True):
            proxy.suspend(server.postgres.stop)
            waiting = executor.submit(user.create, title="cold")
            until(lambda: len(proxy.waiting) == 1, "a connection to wait for the compute")
            if is_cut:
                (first,) = proxy.waiting
                proxy.cut()
                until(lambda: bool(proxy.waiting - {first}), "another attempt")  # noqa: B023
            proxy.allow_start()
            made.append(waiting.result(60))
        listed = client.get(TASKS).json()["items"]
        assert [task["id"] for task in listed] == [task["id"] for task in reversed(made)]


@pytest.mark.proves("FR-012")
def test_a_compute_that_does_not_wake_is_a_503_within_the_deadline(
    server: Server, proxy: NeonProxy, settings: Settings, signer: Signer
) -> None:
    changed = {"database_url": server.url(port=proxy.port), "request_timeout": 1.0}
    app = create_app(settings.model_copy(update=changed))
    headers = {"Authorization": f"Bearer {signer.token('dead')}"}
    with served(app) as base, httpx2.Client(base_url=base, headers=headers, timeout=20) as client:
        User("dead", client).create()
        proxy.suspend(server.postgres.stop)
        refused = client.post(TASKS, json={"title": "never"})
        assert refused.status_code in {503, 504}, refused.text
        assert refused.headers["retry-after"]
        problem(client.get("/readyz"), 503, "database_unavailable")
        proxy.allow_start()
        until(lambda: client.get("/readyz").status_code == 200, "the compute to wake")
        titles = [task["title"] for task in client.get(TASKS).json()["items"]]
    assert titles == ["Buy milk"], "what was refused was not done"


def test_an_unknown_endpoint_is_refused(
    server: Server, proxy: NeonProxy, settings: Settings, signer: Signer
) -> None:
    url = server.url(host="ep-unknown.neon.test", port=proxy.port)
    app = create_app(settings.model_copy(update={"database_url": url}))
    headers = {"Authorization": f"Bearer {signer.token('lost')}"}
    with served(app) as base, httpx2.Client(base_url=base, headers=headers) as client:
        problem(client.get(TASKS), 503, "database_unavailable")
