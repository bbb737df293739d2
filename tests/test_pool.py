"""The pool and its connections alone, on the test's event loop."""

import asyncio
import os

import pytest
from psycopg2.extensions import make_dsn
from support.proxy import PostgresProxy
from support.waiting import soon

from tasks_backend.db import pool as pools
from tasks_backend.db.connection import connect
from tasks_backend.db.failures import DatabaseFailure, Failure
from tasks_backend.db.pool import Pool
from tasks_backend.errors import Overloaded
from tasks_backend.http import counted_warning
from tasks_backend.testing.databases import Cluster

ME = "SELECT pg_backend_pid()"

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def pool_of(url: str, *, size: int = 2) -> Pool:
    return Pool(url, size=size, wait=0.1, connect_timeout=5)


async def test_the_last_connection_in_is_the_first_out(proxy: PostgresProxy) -> None:
    pool = pool_of(proxy.url)
    await asyncio.gather(*(pool.fetch(ME, {}, user=user) for user in "ab"))
    pids = {(await pool.fetch(ME, {}))[0][0] for _ in range(5)}
    assert (len(pids), proxy.connections) == (1, 2)
    pool.close()


async def test_a_long_idle_connection_is_pinged_once(
    proxy: PostgresProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = pool_of(proxy.url)
    (first,) = await pool.fetch(ME, {})
    monkeypatch.setattr(pools, "PING_AFTER", -1)
    proxy.messages.clear()
    assert await pool.fetch(ME, {}) == [first]
    assert proxy.messages == {"Q": 2}
    pool.close()


async def test_a_connection_that_does_not_answer_its_ping_is_replaced(
    proxy: PostgresProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = Pool(proxy.url, size=2, wait=5, connect_timeout=1)
    (first,) = await pool.fetch(ME, {})
    monkeypatch.setattr(pools, "PING_AFTER", -1)
    proxy.freeze()
    with pytest.raises(DatabaseFailure) as failure:  # the new connection uses the same network
        await pool.fetch(ME, {})
    assert failure.value.failure is Failure.NOT_SENT
    proxy.thaw()
    assert await pool.fetch(ME, {}) != [first]
    pool.close()


async def test_a_connection_older_than_neons_limit_is_not_reused(
    proxy: PostgresProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = pool_of(proxy.url)
    (first,) = await pool.fetch(ME, {})
    monkeypatch.setattr(pools, "RECYCLE_AFTER", -1)
    assert await pool.fetch(ME, {}) != [first]
    assert proxy.connections == 2
    pool.close()


async def test_a_too_long_wait_is_refused_and_the_next_one_served(database: str) -> None:
    pool = pool_of(database, size=1)
    slow = asyncio.create_task(pool.fetch("SELECT pg_sleep(0.5)", {}))
    await asyncio.sleep(0.05)
    with pytest.raises(Overloaded):
        await pool.fetch(ME, {})
    await slow
    assert len(await pool.fetch(ME, {})) == 1
    pool.close()


def test_a_pool_works_on_a_new_event_loop(database: str) -> None:
    """For example when several test clients use one application in turn."""
    pool = pool_of(database)
    (first,) = asyncio.run(pool.fetch(ME, {}))
    (second,) = asyncio.run(pool.fetch(ME, {}))
    assert second != first


async def test_a_pool_on_two_event_loops_at_once_is_an_error(database: str) -> None:
    pool = pool_of(database)
    (first,) = await pool.fetch(ME, {})
    with pytest.raises(RuntimeError, match="create_app"):
        await asyncio.to_thread(lambda: asyncio.run(pool.fetch(ME, {})))
    assert await pool.fetch(ME, {}) == [first], "the first loop is not disturbed"
    pool.close()


async def test_a_name_is_resolved_before_libpq_sees_it(proxy: PostgresProxy) -> None:
    connection = await connect(make_dsn(proxy.url, host="localhost"), timeout=5)
    assert await connection.fetch("SELECT 1", {}) == [(1,)]
    connection.close()
    for wrong in ("no-such-host.invalid", "localhost,localhost"):
        url = make_dsn(proxy.url, host=wrong, port="1")
        with pytest.raises(DatabaseFailure) as failure:
            await connect(url, timeout=20)
        assert failure.value.failure is Failure.NOT_SENT


async def test_a_message_larger_than_the_socket_buffer_is_sent_in_pieces(
    proxy: PostgresProxy,
) -> None:
    connection = await connect(proxy.url, timeout=5)
    text = "x" * 12_000_000  # Linux buffers at most 4 MB at the sender and 6 MB at the receiver
    assert await connection.fetch("SELECT length(%(text)s)", {"text": text}) == [(len(text),)]
    connection.close()


async def test_a_cancelled_statement_closes_its_connection(cluster: Cluster) -> None:
    connection = await connect(cluster.url, timeout=5)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await connection.fetch("SELECT pg_sleep(20)", {})
    assert connection.closed
    connection.close()


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT 1/0", Failure.UNEXPECTED),
        ("SELECT nonsense", Failure.UNEXPECTED),
        ("SELECT * FROM nowhere", Failure.CONFIGURATION),
        ("SET statement_timeout = 1; SELECT pg_sleep(1)", Failure.TIMED_OUT),
        ("DO $$BEGIN RAISE SQLSTATE '40001'; END$$", Failure.ROLLED_BACK),
        ("DO $$BEGIN RAISE SQLSTATE '40P01'; END$$", Failure.ROLLED_BACK),
        (
            "DO $$BEGIN RAISE SQLSTATE '23503' USING SCHEMA = 'tasks_backend'; END$$",
            Failure.ROLLED_BACK,
        ),
        ("DO $$BEGIN RAISE SQLSTATE '23503' USING SCHEMA = 'other'; END$$", Failure.CONSTRAINT),
        ("SELECT 99999999999999::int", Failure.UNSTORABLE),
        ("DO $$BEGIN RAISE SQLSTATE '55P03'; END$$", Failure.LOCKED),
        ("DO $$BEGIN RAISE SQLSTATE '53100'; END$$", Failure.RESOURCE),
        ("DO $$BEGIN RAISE SQLSTATE '25006'; END$$", Failure.RESOURCE),
        ("SELECT pg_terminate_backend(pg_backend_pid())", Failure.OUTCOME_UNKNOWN),
    ],
)
async def test_failures_are_classified(cluster: Cluster, sql: str, expected: Failure) -> None:
    connection = await connect(cluster.url, timeout=5)
    with pytest.raises(DatabaseFailure) as failure:
        await connection.fetch(sql, {})
    assert failure.value.failure is expected
    assert connection.closed == (expected is Failure.OUTCOME_UNKNOWN)
    connection.close()


async def test_an_error_of_libpq_itself_closes_the_connection(database: str) -> None:
    """Nobody knows what the server did, and its answer may still come."""
    connection = await connect(database, timeout=5)
    device = os.open(os.devnull, os.O_RDWR)
    os.dup2(device, connection._fd)  # noqa: SLF001 - only so each read of the socket fails
    os.close(device)
    with pytest.raises(DatabaseFailure) as failure:
        await connection.fetch(ME, {})
    assert failure.value.failure is Failure.OUTCOME_UNKNOWN
    assert connection.closed


async def test_a_connection_is_kept_between_messages(proxy: PostgresProxy) -> None:
    """The loop may report a socket readable once more after everything was read."""
    pool = pool_of(proxy.url)
    for _ in range(20):
        await asyncio.gather(*(pool.fetch(ME, {}, user=user) for user in "ab"))
    assert proxy.connections == 2
    pool.close()


async def test_a_saturated_pool_is_said_once_and_its_end_too(
    proxy: PostgresProxy, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("INFO", logger="tasks_backend.db")
    monkeypatch.setattr(counted_warning, "INTERVAL", 0.2)
    monkeypatch.setattr(counted_warning, "REPEAT", 0.3)
    pool = pool_of(proxy.url)
    await asyncio.gather(*(pool.fetch(ME, {}, user=user) for user in "ab"))
    proxy.freeze()
    answers = asyncio.gather(
        *(pool.fetch(ME, {}, user=str(number)) for number in range(12)), return_exceptions=True
    )
    await soon(lambda: bool(caplog.messages))
    proxy.thaw()
    assert sum(isinstance(answer, Overloaded) for answer in await answers) == 10
    await soon(lambda: len(caplog.messages) > 1)
    pool.close()
    warning, end = caplog.records
    assert warning.getMessage().startswith("10 requests waited long for a database connection")
    fields = {name: vars(warning)[name] for name in ("connections", "in_use", "waiting")}
    assert fields == {"connections": 2, "in_use": 2, "waiting": 9}
    assert vars(warning)["waited_ms"] >= 100
    assert end.getMessage().startswith("requests no longer wait long for a database connection")


async def test_a_wait_that_ends_in_time_but_was_long_is_said(
    proxy: PostgresProxy, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "LONG_WAIT", 0.05)
    monkeypatch.setattr(counted_warning, "INTERVAL", 0.1)
    pool = Pool(proxy.url, size=1, wait=60, connect_timeout=5)
    await pool.fetch(ME, {})
    proxy.freeze()
    asyncio.get_running_loop().call_later(0.3, proxy.thaw)
    await asyncio.gather(*(pool.fetch(ME, {}, user=user) for user in "ab"))
    await soon(lambda: bool(caplog.messages))
    assert caplog.messages[0].startswith("1 requests waited long for a database connection")
    pool.close()
