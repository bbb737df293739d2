"""A request that was answered 504 changes nothing later: the remaining time is computed when the
message is sent, and an unsent message is dropped.
"""

import asyncio
import contextlib
import re
import secrets
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress

import httpx2
import psycopg2
import pytest
from psycopg2.extensions import make_dsn, parse_dsn
from sqlalchemy import func, select
from support.proxy import PostgresProxy

from tasks_backend import Settings, create_app
from tasks_backend.db.connection import connect
from tasks_backend.db.database import Database
from tasks_backend.db.pool import Pool
from tasks_backend.db.statements import statement
from tasks_backend.errors import DeadlineExceeded
from tasks_backend.http.caller import Caller
from tasks_backend.testing.databases import Cluster
from tasks_backend.testing.service import User, problem, served
from tasks_backend.testing.signing import Signer

TASKS = "/api/v1/tasks"
REQUEST_TIMEOUT = 4.0  # seconds
WAIT = 2.0  # of which a request waits for a connection
ROW = "SELECT FROM tasks_backend.tasks WHERE id = %s FOR UPDATE"
LEFT = statement(select(func.current_setting("statement_timeout")), idempotent=True)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def user(proxy: PostgresProxy, settings: Settings, signer: Signer) -> Iterator[User]:
    """A user of a service with one connection, whose other timeouts exceed the deadline."""
    sub = secrets.token_hex(16)
    changed = {
        "database_url": proxy.url,
        "request_timeout": REQUEST_TIMEOUT,
        "statement_timeout": 60.0,
        "pool_size": 1,
        "pool_timeout": 60.0,
    }
    headers = {"Authorization": f"Bearer {signer.token(sub)}"}
    with (
        served(create_app(settings.model_copy(update=changed))) as url,
        httpx2.Client(base_url=url, headers=headers, timeout=30) as client,
    ):
        yield User(sub, client)


def until(condition: Callable[[], bool], what: str) -> None:
    give_up = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < give_up, what
        time.sleep(0.01)


@pytest.mark.proves("SC-001", "FR-012")
@pytest.mark.parametrize("keyed", [False, True])
def test_a_write_that_waited_for_a_connection_is_not_done_after_its_504(
    user: User, proxy: PostgresProxy, cluster: Cluster, database: str, keyed: bool
) -> None:
    """The connection is held for half of the time, then the row is locked until the answer."""
    first, second = user.create(), user.create()
    headers = {"Idempotency-Key": "k"} if keyed else {}
    login = parse_dsn(database)["user"]

    def sessions(condition: str = "") -> int:
        """Count the service's sessions that run a statement."""
        with cluster.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND usename = %s"
                + condition,
                (login,),
            )
            ((count,),) = cursor.fetchall()
        return int(count)

    def waiting() -> bool:
        return sessions(" AND wait_event_type = 'Lock'") > 0

    with closing(psycopg2.connect(database)) as one, closing(psycopg2.connect(database)) as other:
        one.cursor().execute(ROW, (first["id"],))
        other.cursor().execute(ROW, (second["id"],))
        with ThreadPoolExecutor(2) as pool:
            holding = pool.submit(user.client.patch, f"{TASKS}/{first['id']}", json={"title": "x"})
            until(waiting, "the first request does not wait")
            toggled = pool.submit(
                user.client.post, f"{TASKS}/{second['id']}/toggle", headers=headers
            )
            time.sleep(WAIT)
            one.rollback()
            assert holding.result(30).status_code == 200
            sent = False
            while not toggled.done():
                sent = sent or waiting()
            problem(toggled.result(), 504, "deadline_exceeded")
            assert sent
        other.rollback()  # now the statement could continue
    until(lambda: not sessions(), "a statement runs on")
    assert user.read(second["id"]) == second


@pytest.mark.anyio
async def test_the_remaining_time_is_computed_after_connecting(proxy: PostgresProxy) -> None:
    database = database_at(proxy)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + 20
    proxy.freeze()
    loop.call_later(WAIT, proxy.thaw)
    ((left,),) = await database.run(LEFT, Caller("somebody", deadline))
    assert milliseconds(left) < (20 - WAIT) * 1000
    database.close()


@pytest.mark.anyio
async def test_each_attempt_gets_the_time_remaining_then(proxy: PostgresProxy) -> None:
    """The first attempt uses a frozen connection, which is cut later."""
    database = database_at(proxy)
    loop = asyncio.get_running_loop()
    await database.run(LEFT, Caller("somebody", loop.time() + 20))
    proxy.freeze()

    def end() -> None:
        proxy.cut()
        proxy.thaw()

    loop.call_later(WAIT, end)
    ((left,),) = await database.run(LEFT, Caller("somebody", loop.time() + 20))
    assert milliseconds(left) < (20 - WAIT) * 1000
    database.close()


@pytest.mark.anyio
async def test_a_statement_without_remaining_time_is_not_sent(proxy: PostgresProxy) -> None:
    database = database_at(proxy)
    loop = asyncio.get_running_loop()
    await database.run(LEFT, Caller("somebody", loop.time() + 20))
    proxy.messages.clear()
    with pytest.raises(DeadlineExceeded):
        await database.run(LEFT, Caller("somebody", loop.time() + 0.03))
    assert not proxy.messages
    assert len(await database.run(LEFT, Caller("somebody", loop.time() + 20))) == 1
    assert proxy.connections == 1
    database.close()


@pytest.mark.anyio
async def test_bytes_in_the_kernel_at_the_deadline_are_never_sent(cluster: Cluster) -> None:
    """The network stalls while a write is sent, and recovers after the deadline."""
    table = f"stalled_{secrets.token_hex(6)}"
    with cluster.cursor(parse_dsn(cluster.url)["dbname"]) as cursor:
        cursor.execute(f"CREATE TABLE {table} (text text)")
        async with slow_relay(cluster.url) as (url, flowing, ended):
            connection = await connect(url, timeout=20)
            flowing.clear()
            writing = connection.fetch(
                f"INSERT INTO {table} VALUES (%(text)s)", {"text": "x" * 14_000}
            )
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(writing, 0.5)
            flowing.set()
            async with asyncio.timeout(20):
                await ended.wait()
        cursor.execute(f"SELECT count(*) FROM {table}")
        assert cursor.fetchone() == (0,)


@contextlib.asynccontextmanager
async def slow_relay(url: str) -> AsyncIterator[tuple[str, asyncio.Event, asyncio.Event]]:
    """A relay with small buffers, so that most of a long message waits in our kernel.
    The first event is set while it forwards, the second once the server closed the session.
    """
    flowing, ended = asyncio.Event(), asyncio.Event()
    flowing.set()
    target = parse_dsn(url)

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_unix_connection(f"{target['host']}/.s.PGSQL.5432")
        returning = asyncio.create_task(pump(back, writer))
        with suppress(OSError):
            while data := await reader.read(1024):
                await flowing.wait()
                forth.write(data)
        forth.write_eof()
        await returning
        forth.close()
        ended.set()

    async def pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(65536):
                target.write(data)
        target.close()

    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    listener.bind(("127.0.0.1", 0))
    listener.setblocking(False)
    async with await asyncio.start_server(relay, sock=listener, limit=1024) as server:
        port = server.sockets[0].getsockname()[1]
        yield make_dsn(url, host="127.0.0.1", port=port, sslmode="disable"), flowing, ended


def database_at(proxy: PostgresProxy) -> Database:
    pool = Pool(proxy.url, size=1, wait=20, connect_timeout=20)
    return Database(pool, statement_timeout=60)


def milliseconds(setting: str) -> float:
    """What PostgreSQL shows as `17950ms` or `18s`."""
    number, unit = re.fullmatch(r"(\d+)(ms|s)", setting).groups()  # type: ignore[union-attr] # it matches
    return int(number) * {"ms": 1, "s": 1000}[unit]
