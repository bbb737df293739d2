"""Readiness is accurate, and does not wake a database that scales to zero."""

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpx2
import psycopg2
import pytest
from support.proxy import PostgresProxy

from tasks_backend import Settings, create_app
from tasks_backend.db import migrations, readiness
from tasks_backend.testing.databases import NEON_OWNER, PLAIN_OWNER, Cluster
from tasks_backend.testing.service import problem, served
from tasks_backend.testing.signing import Signer

TASKS = "/api/v1/tasks"


@pytest.fixture
def client(proxy: PostgresProxy, settings: Settings, signer: Signer) -> Iterator[httpx2.Client]:
    app = create_app(settings.model_copy(update={"database_url": proxy.url, "pool_size": 2}))
    headers = {"Authorization": f"Bearer {signer.token('prober')}"}
    with served(app) as url, httpx2.Client(base_url=url, headers=headers, timeout=30) as client:
        yield client


@pytest.fixture
def quiet_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulate so long a pause that the database may be suspended."""
    monkeypatch.setattr(readiness, "AWAKE", -1.0)


def test_a_database_in_use_is_probed(client: httpx2.Client, proxy: PostgresProxy) -> None:
    assert client.get("/readyz").status_code == 200
    proxy.messages.clear()
    assert client.get("/readyz").status_code == 200
    assert proxy.messages["Q"] == 1
    proxy.refuse()
    problem(client.get("/readyz"), 503, "database_unavailable")
    proxy.accept()
    assert client.get("/readyz").status_code == 200


@pytest.mark.usefixtures("quiet_for_long")
def test_a_database_that_may_be_suspended_is_not_probed(
    client: httpx2.Client, proxy: PostgresProxy
) -> None:
    assert client.get("/readyz").status_code == 200
    proxy.messages.clear()
    for _ in range(20):
        assert client.get("/readyz").status_code == 200
    proxy.refuse()  # suspended: its connections end, and nothing wakes it
    for _ in range(20):
        assert client.get("/readyz").status_code == 200
    assert not proxy.messages
    proxy.accept()
    assert client.get(TASKS).status_code == 200, "it wakes for a request"


@pytest.mark.usefixtures("quiet_for_long")
def test_an_unreachable_database_is_probed_until_it_is_back(
    client: httpx2.Client, proxy: PostgresProxy
) -> None:
    assert client.get("/readyz").status_code == 200
    proxy.refuse()
    problem(client.get(TASKS), 503, "database_unavailable")
    for _ in range(3):
        problem(client.get("/readyz"), 503, "database_unavailable")
    proxy.accept()
    assert client.get("/readyz").status_code == 200


def test_concurrent_probes_share_one_query(client: httpx2.Client, proxy: PostgresProxy) -> None:
    assert client.get("/readyz").status_code == 200
    proxy.messages.clear()
    proxy.freeze()
    with ThreadPoolExecutor(8) as executor:
        answers = [executor.submit(client.get, "/readyz") for _ in range(8)]
        statuses = {answer.result(30).status_code for answer in answers}
    proxy.thaw()
    assert statuses == {503}, "no answer within the time that a probe is given"
    assert proxy.messages["Q"] <= 1


@dataclass(frozen=True)
class Own:
    """A deployment that a test may break: values for SQL, and two clients of its service."""

    cluster: Cluster
    names: dict[str, str]
    client: httpx2.Client
    proxy: PostgresProxy

    def execute(self, sql: str) -> None:
        with self.cluster.cursor(self.names["database"]) as cursor:
            cursor.execute(sql.format(**self.names))


@pytest.fixture
def own(
    request: pytest.FixtureRequest, cluster: Cluster, settings: Settings, signer: Signer
) -> Iterator[Own]:
    """Reached by a plain owner, or by a login that may only switch to a separate role."""
    is_plain = request.param == "plain"
    owner = cluster.login(PLAIN_OWNER if is_plain else NEON_OWNER)
    database, url = cluster.database(owner)
    migrations.upgrade(url)
    names = {"database": database, "login": owner, "bound": owner}
    if not is_plain:
        names["login"] = cluster.login("NOINHERIT")
        with cluster.cursor(database) as cursor:
            cursor.execute("SELECT oid FROM pg_database WHERE datname = %s", (database,))
            names["bound"] = f"tasks_app_{cursor.fetchone()[0]}"
            with contextlib.suppress(psycopg2.errors.DuplicateObject):  # made by `migrate`
                cursor.execute("CREATE ROLE {bound}".format(**names))
            cursor.execute("GRANT {bound} TO {login}".format(**names))
        migrations.downgrade(url)  # once more, for the grants to this role
        migrations.upgrade(url)
        url = cluster.url_of(database, names["login"])
    headers = {"Authorization": f"Bearer {signer.token('prober')}"}
    with PostgresProxy(url) as proxy:
        app = create_app(settings.model_copy(update={"database_url": proxy.url}))
        with (
            served(app) as base,
            httpx2.Client(base_url=base, headers=headers, timeout=30) as client,
        ):
            yield Own(cluster, names, client, proxy)


OWN = "user_id = current_setting('app.user_id', true)"
COLUMNS = "title, description, completed, version, updated_at"
TROUBLE = [
    ("ALTER ROLE {bound} BYPASSRLS", "ALTER ROLE {bound} NOBYPASSRLS"),
    (
        "ALTER TABLE tasks_backend.tasks DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE tasks_backend.tasks ENABLE ROW LEVEL SECURITY",
    ),
    (
        "ALTER POLICY own_rows ON tasks_backend.tasks USING (true)",
        f"ALTER POLICY own_rows ON tasks_backend.tasks USING ({OWN})",
    ),
    (
        "ALTER POLICY own_rows ON tasks_backend.users RENAME TO other",
        "ALTER POLICY other ON tasks_backend.users RENAME TO own_rows",
    ),
    *(
        (
            f"REVOKE {right} ON tasks_backend.{table} FROM {{bound}}",
            f"GRANT {right} ON tasks_backend.{table} TO {{bound}}",
        )
        for table, rights in (
            ("users", ("SELECT", "INSERT")),
            ("tasks", ("SELECT", "INSERT", "DELETE", f"UPDATE ({COLUMNS})")),
            ("idempotency_keys", ("SELECT", "INSERT", "DELETE", "UPDATE (expires_at)")),
        )
        for right in rights
    ),
    *(
        (
            f"REVOKE EXECUTE ON FUNCTION tasks_backend.{function} FROM {{bound}}",
            f"GRANT EXECUTE ON FUNCTION tasks_backend.{function} TO {{bound}}",
        )
        for function in ("task_is_foreign(uuid)", "delete_expired_keys()")
    ),
    (
        "REVOKE USAGE ON SCHEMA tasks_backend FROM {bound}",
        "GRANT USAGE ON SCHEMA tasks_backend TO {bound}",
    ),
]
OF_AN_OWNER = [
    (
        "ALTER TABLE tasks_backend.users NO FORCE ROW LEVEL SECURITY",
        "ALTER TABLE tasks_backend.users FORCE ROW LEVEL SECURITY",
    ),
    (
        "REVOKE UPDATE ON tasks_backend.tasks FROM {bound}",
        "GRANT UPDATE ON tasks_backend.tasks TO {bound}",
    ),
]
OF_A_ROLE = [
    ("ALTER ROLE {bound} SUPERUSER", "ALTER ROLE {bound} NOSUPERUSER"),
    ("REVOKE {bound} FROM {login}", "GRANT {bound} TO {login}"),
    ("ALTER ROLE {bound} RENAME TO {login}_role", "ALTER ROLE {login}_role RENAME TO {bound}"),
]


@pytest.mark.parametrize(
    ("own", "trouble"),
    [
        ("plain", [pair for pair in TROUBLE if " UPDATE (" not in pair[0]] + OF_AN_OWNER),
        ("least privileged", TROUBLE + OF_A_ROLE),
    ],
    indirect=["own"],
    ids=["plain", "least privileged"],
)
@pytest.mark.proves("EDGE-4", "SC-003")
def test_ready_means_that_a_users_message_works(own: Own, trouble: list[tuple[str, str]]) -> None:
    """Each fault occurs while the service runs, and is repaired while it runs."""
    assert own.client.post(TASKS, json={"title": "so that there is a row to be seen"}).is_success
    assert own.client.get("/readyz").status_code == 200
    for harm, remedy in trouble:
        own.execute(harm)
        answers = [own.client.get("/readyz").status_code for _ in range(2)]
        own.execute(remedy)
        assert answers == [503, 503], harm
        assert own.client.get("/readyz").status_code == 200, remedy
        assert own.client.post(TASKS, json={"title": "and it works"}).status_code == 201, remedy


@pytest.mark.parametrize("own", ["plain"], indirect=True)
@pytest.mark.proves("SC-003")
def test_old_connections_are_not_used_once_the_login_bypasses_the_policies(own: Own) -> None:
    assert own.client.get(TASKS).status_code == 200
    own.execute("ALTER ROLE {bound} BYPASSRLS")
    problem(own.client.get("/readyz"), 503, "database_unavailable")
    problem(own.client.get(TASKS), 503, "database_unavailable")
    own.execute("ALTER ROLE {bound} NOBYPASSRLS")
    assert own.client.get("/readyz").status_code == 200


@pytest.mark.parametrize("own", ["least privileged"], indirect=True)
def test_a_probe_scans_no_table(own: Own, cluster: Cluster) -> None:
    """For any number of tasks and any planner statistics."""
    own.execute(
        "INSERT INTO tasks_backend.users VALUES ('x');"
        " INSERT INTO tasks_backend.tasks (id, user_id, title)"
        " SELECT uuidv7(), 'x', 'Task' FROM generate_series(1, 50000); ANALYZE"
    )
    own.proxy.messages.clear()
    assert own.client.get("/readyz").status_code == 200
    counted = "SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = 'tasks'"
    with cluster.cursor(own.names["database"]) as cursor:
        cursor.execute(counted)
        before = cursor.fetchone()
    for _ in range(3):
        assert own.client.get("/readyz").status_code == 200
    own.proxy.cut()
    own.proxy.wait_until_closed()  # a session reports its counts at its end
    with cluster.cursor(own.names["database"]) as cursor:
        cursor.execute(counted)
        assert cursor.fetchone() == before
