"""Connecting to the database: host names, dead addresses, and refusals in any language."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest
from psycopg2.extensions import make_dsn, parse_dsn
from support.addresses import Refusing, black_hole, resolve_with, silent_server
from support.commands import invoked
from support.proxy import PostgresProxy

from tasks_backend import Settings, create_app
from tasks_backend.db import connection as connections
from tasks_backend.db import pool as pools
from tasks_backend.db.connection import connect
from tasks_backend.db.failures import DatabaseFailure, Failure
from tasks_backend.db.pool import Pool
from tasks_backend.settings import SettingsError, load
from tasks_backend.testing.service import problem, served
from tasks_backend.testing.signing import Signer

TASKS = "/api/v1/tasks"

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def answers(url: str, *, timeout: float = 5) -> bool:
    connection = await connect(url, timeout=timeout)
    try:
        return await connection.fetch("SELECT 1", {}) == [(1,)]
    finally:
        connection.close()


async def failure_of(url: str, *, timeout: float = 10) -> DatabaseFailure:
    with pytest.raises(DatabaseFailure) as failure:
        await connect(url, timeout=timeout)
    return failure.value


# Dead addresses


@pytest.fixture
def dead_ends() -> Iterator[dict[str, int]]:
    """A port for each kind of dead address."""
    with ExitStack() as stack:
        yield {
            "black hole": stack.enter_context(black_hole()),
            "silent": stack.enter_context(silent_server()),
            "closed": 1,
        }


@pytest.mark.proves("FR-012")
@pytest.mark.parametrize(
    "first",
    [
        ["black hole"],
        ["silent"],
        ["closed"],
        ["black hole", "black hole", "silent"],
        ["closed", "black hole", "closed", "silent"],
    ],
)
async def test_each_host_of_a_url_is_tried(
    proxy: PostgresProxy, dead_ends: dict[str, int], first: list[str]
) -> None:
    ports = [dead_ends[kind] for kind in first] + [proxy.port]
    url = make_dsn(proxy.url, host=",".join(["127.0.0.1"] * len(ports)), port=_listed(ports))
    assert await answers(url)


@pytest.mark.proves("FR-012")
async def test_each_address_of_a_name_is_tried(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with black_hole("127.0.0.2") as port, PostgresProxy(database, port=port) as proxy:
        resolve_with(monkeypatch, lambda _: ["127.0.0.2", "127.0.0.1"])
        assert await answers(make_dsn(proxy.url, host="db.test"))


async def test_a_slow_first_address_is_used_if_no_other_answers(
    proxy: PostgresProxy, dead_ends: dict[str, int]
) -> None:
    """For example a suspended compute that has to start."""
    proxy.freeze()
    asyncio.get_running_loop().call_later(2, proxy.thaw)
    ports = [proxy.port, dead_ends["black hole"], 1]
    assert await answers(make_dsn(proxy.url, host=",".join(["127.0.0.1"] * 3), port=_listed(ports)))


async def test_the_timeout_holds_if_no_address_answers(dead_ends: dict[str, int]) -> None:
    ports = _listed([dead_ends["black hole"], dead_ends["silent"]])
    url = f"postgresql://nobody@/tasks?host=127.0.0.1,127.0.0.1&port={ports}"
    async with asyncio.timeout(20):  # the timeout is 1 s
        assert (await failure_of(url, timeout=1)).failure is Failure.NOT_SENT


async def test_of_several_connections_one_is_kept(
    database: str, dead_ends: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both addresses answer in the end; the unused connection is closed."""
    with PostgresProxy(database) as one, PostgresProxy(database) as other:
        one.freeze()
        other.freeze()
        loop = asyncio.get_running_loop()
        for proxy in (one, other):
            loop.call_later(2, proxy.thaw)
        ports = _listed([one.port, other.port])
        url = make_dsn(one.url, host="127.0.0.1,127.0.0.1", port=ports)
        connection = await connect(url, timeout=20)
        assert (one.connections, other.connections) == (1, 1)
        assert await connection.fetch("SELECT 1", {}) == [(1,)]
        connection.close()
        await asyncio.to_thread(one.wait_until_closed)
        await asyncio.to_thread(other.wait_until_closed)


async def test_explicit_addresses_and_sockets_are_used_unchanged(
    proxy: PostgresProxy, database: str, dead_ends: dict[str, int]
) -> None:
    directory = parse_dsn(database)["host"]
    hole = dead_ends["black hole"]
    assert directory.startswith("/")
    for given in (
        {"host": "db.invalid", "hostaddr": "127.0.0.1", "port": proxy.port},
        {"host": "a..b", "hostaddr": "127.0.0.1", "port": proxy.port},
        {
            "host": "a.invalid,b.invalid",
            "hostaddr": "127.0.0.1,127.0.0.1",
            "port": f"{hole},{proxy.port}",
        },
        {"host": f"127.0.0.1,{directory}", "port": f"{hole},5432"},
        {"host": f"{directory},db.invalid", "port": "5432"},
        {"host": directory, "port": 5432},
        {"host": "localhost", "port": proxy.port, "target_session_attrs": "read-write"},
    ):
        assert await answers(make_dsn(proxy.url, **given)), given


async def test_a_server_with_the_wrong_session_attributes_is_skipped(
    proxy: PostgresProxy, database: str
) -> None:
    """`target_session_attrs` works as in libpq."""
    with PostgresProxy(database) as other:
        readers = make_dsn(
            proxy.url,
            host="127.0.0.1,127.0.0.1",
            port=_listed([proxy.port, other.port]),
            target_session_attrs="standby",
        )
        assert (await failure_of(readers)).failure is Failure.NOT_SENT
        assert (proxy.connections, other.connections) == (1, 1)


# Names


@pytest.mark.parametrize(
    "host", ["a..b", ".", ".example.com", "x" * 64, ".".join(["x" * 64] * 5), "bü..cher"]
)
async def test_an_invalid_host_name_stops_the_start(host: str, database: str) -> None:
    url = make_dsn(database, host=host)
    with pytest.raises(SettingsError) as error:
        load(Settings, database_url=url, better_auth_url="https://a.example", _env_file=None)
    assert str(error.value).startswith("DATABASE_URL: ")
    assert host == "." or host not in str(error.value)
    assert (await failure_of(url)).failure is Failure.REFUSED


@pytest.mark.parametrize(
    "host", ["no-such-host.invalid", "x" * 63, ".".join(["x" * 60] * 5), "a b"]
)
async def test_an_unknown_name_is_not_reachable(host: str, database: str) -> None:
    assert (await failure_of(make_dsn(database, host=host))).failure is Failure.NOT_SENT


async def test_a_known_name_is_used_although_another_is_unknown(proxy: PostgresProxy) -> None:
    url = make_dsn(proxy.url, host="no-such-host.invalid,127.0.0.1", port=f"1,{proxy.port}")
    assert await answers(url)


@pytest.mark.parametrize("wrong", [{"port": "1,2,3"}, {"hostaddr": "127.0.0.1"}])
async def test_host_and_port_lists_of_different_length_are_not_reachable(
    proxy: PostgresProxy, wrong: dict[str, str]
) -> None:
    url = make_dsn(proxy.url, **{"host": "localhost,localhost", **wrong})
    assert (await failure_of(url)).failure is Failure.NOT_SENT


async def test_a_hanging_resolver_uses_one_thread_and_the_timeout_holds(
    proxy: PostgresProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    released, asked = threading.Event(), []

    def hang(name: str) -> list[str]:
        asked.append(name)
        assert released.wait(60)
        return ["127.0.0.1"]

    resolve_with(monkeypatch, hang)
    url = make_dsn(proxy.url, host="db.test")
    try:
        async with asyncio.timeout(20):  # the timeout is 0.5 s
            failures = await asyncio.gather(*(failure_of(url, timeout=0.5) for _ in range(20)))
            failures.append(await failure_of(url, timeout=0.5))
        assert {failure.failure for failure in failures} == {Failure.NOT_SENT}
        assert asked == ["db.test"]
        several = make_dsn(proxy.url, host="db.test,127.0.0.1", port=f"1,{proxy.port}")
        assert await answers(several, timeout=4)
    finally:
        released.set()
    assert await answers(url)


# Answers of servers


GERMAN = "Passwort-Authentifizierung für Benutzer »somebody« fehlgeschlagen"
RUSSIAN = "пользователь не прошёл проверку подлинности"


@pytest.mark.parametrize(
    ("state", "words", "severity", "expected"),
    [
        ("28P01", b"password authentication failed", b"FATAL", Failure.REFUSED),
        ("28P01", GERMAN.encode(), b"FATAL", Failure.REFUSED),
        ("28P01", GERMAN.encode("latin-1"), b"FATAL", Failure.REFUSED),
        ("28P01", RUSSIAN.encode("koi8-r"), "ВАЖНО".encode("koi8-r"), Failure.REFUSED),
        ("28000", 'ロール"x"は存在しません'.encode(), b"FATAL", Failure.REFUSED),
        ("3D000", b"Datenbank existiert nicht", "ÖLÜMCÜL (FATAL)".encode(), Failure.REFUSED),
        ("42501", b"keine Berechtigung", b"FATAL", Failure.REFUSED),
        ("55000", b"akzeptiert gegenw\xe4rtig keine Verbindungen", b"FATAL", Failure.REFUSED),
        ("53300", b"too many connections for role; it does not exist", b"FATAL", Failure.NOT_SENT),
        ("57P03", b"Das Datenbanksystem startet", b"FATAL", Failure.NOT_SENT),
        ("57P03", "система баз данных запускается".encode("koi8-r"), b"FATAL", Failure.NOT_SENT),
        ("57P01", b"terminating connection", b"FATAL", Failure.NOT_SENT),
        ("XX000", b"Control plane request failed", b"ERROR", Failure.NOT_SENT),
        # poolers use one SQLSTATE for all errors, and do not translate messages
        ("08P01", b'"trust" authentication failed', b"FATAL", Failure.REFUSED),
        ("08P01", b"unsupported startup parameter: options", b"FATAL", Failure.REFUSED),
        ("08P01", b"no more connections allowed (max_client_conn)", b"FATAL", Failure.NOT_SENT),
        ("08P01", b"server login has been failing, try again later", b"FATAL", Failure.NOT_SENT),
    ],
)
async def test_a_refusal_is_recognised_in_any_language(
    state: str, words: bytes, severity: bytes, expected: Failure
) -> None:
    with Refusing(state, words, severity=severity) as server:
        failure = await failure_of(server.url)
    assert failure.failure is expected
    assert "somebody" not in str(failure)


async def test_a_refusal_is_recognised_by_its_text_if_libpq_gives_no_sqlstate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """For example on Windows, where psycopg2 bundles libpq."""
    monkeypatch.setattr(connections, "report_sqlstates", lambda _: None)
    for words, expected in (
        (b"password authentication failed", Failure.REFUSED),
        (b"the database system is starting up", Failure.NOT_SENT),
    ):
        with Refusing("28P01", words) as server:
            assert (await failure_of(server.url)).failure is expected


async def test_a_refusal_stops_further_attempts(proxy: PostgresProxy) -> None:
    """A wrong password is not sent to the next address."""
    with Refusing("28P01", GERMAN.encode()) as server:
        ports = f"{parse_dsn(server.url)['port']},{proxy.port}"
        url = make_dsn(proxy.url, host="127.0.0.1,127.0.0.1", port=ports)
        assert (await failure_of(url)).failure is Failure.REFUSED
    assert proxy.connections == 0


async def test_a_server_that_is_starting_is_skipped(proxy: PostgresProxy) -> None:
    with Refusing("57P03", b"Das Datenbanksystem startet") as server:
        ports = f"{parse_dsn(server.url)['port']},{proxy.port}"
        assert await answers(make_dsn(proxy.url, host="127.0.0.1,127.0.0.1", port=ports))


@pytest.mark.proves("FR-012")
@pytest.mark.parametrize(("state", "attempts"), [("28P01", 1), ("57P03", 3)])
def test_a_refusal_in_another_language_is_a_503(
    settings: Settings, signer: Signer, caplog: pytest.LogCaptureFixture, state: str, attempts: int
) -> None:
    """A temporary refusal is retried; one that needs an operator is not."""
    headers = {"Authorization": f"Bearer {signer.token('x')}"}
    with Refusing(state, GERMAN.encode("latin-1")) as server:
        app = create_app(settings.model_copy(update={"database_url": server.url}))
        with served(app) as base, httpx2.Client(base_url=base, headers=headers) as client:
            problem(client.get(TASKS), 503, "database_unavailable")
            assert server.attempts == attempts
            problem(client.get("/readyz"), 503, "database_unavailable")
    assert state in caplog.text
    assert "somebody" not in caplog.text


@pytest.mark.parametrize("command", ["migrate", "doctor"])
def test_a_command_repeats_a_refusal_in_another_language(command: str, tmp_path: Path) -> None:
    with Refusing("28P01", GERMAN.encode("latin-1")) as server:
        keys = {"BETTER_AUTH_URL": "http://127.0.0.1:1", "JWKS_ALLOW_HTTP": "true"}
        done = invoked(tmp_path, command, DATABASE_URL=server.url, **keys)
    assert done.exit_code == 1
    assert "Passwort-Authentifizierung f" in done.output


# Connections have a maximum age


async def test_a_connection_has_a_maximum_age(
    proxy: PostgresProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = Pool(proxy.url, size=2, wait=1, connect_timeout=5)
    for _ in range(3):
        await pool.fetch("SELECT 1", {})
    assert proxy.connections == 1
    pool.close()
    monkeypatch.setattr(pools, "MAX_AGE", 0)
    for _ in range(3):
        await pool.fetch("SELECT 1", {})
    assert proxy.connections == 4
    pool.close()


async def test_a_changed_dns_record_is_followed_while_the_old_server_runs(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    addresses = ["127.0.0.1"]
    resolve_with(monkeypatch, lambda _: addresses)
    monkeypatch.setattr(pools, "MAX_AGE", 0.2)
    with (
        PostgresProxy(database) as old,
        PostgresProxy(database, host="127.0.0.2", port=old.port) as new,
    ):
        pool = Pool(make_dsn(old.url, host="db.test"), size=1, wait=1, connect_timeout=5)
        await pool.fetch("SELECT 1", {})
        addresses[:] = ["127.0.0.2"]
        async with asyncio.timeout(20):
            while not new.connections:
                await pool.fetch("SELECT 1", {})
                await asyncio.sleep(0.02)
        pool.close()


def _listed(ports: list[int]) -> str:
    return ",".join(map(str, ports))
