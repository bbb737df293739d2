"""The key set client alone: when it fetches, which requests wait, which keys it trusts."""

import asyncio
import datetime as dt
import ipaddress
import json
import logging
import re
import ssl
import time
from collections import Counter
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from threading import Event

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from support.forgery import base64url
from support.hostile_endpoint import Behaviour, HostileEndpoint, Visit
from support.key_server import PATIENCE, failing_answer, held_answer
from support.waiting import soon

from tasks_backend.auth.key_endpoint import MAX_BYTES
from tasks_backend.auth.key_set import KeySet
from tasks_backend.auth.keys import DEVELOPMENT_PREFIX, MAX_KEYS, NotAKeySet, parse_key_set
from tasks_backend.errors import ApiError, AuthUnavailable
from tasks_backend.settings import ASYMMETRIC_ALGORITHMS
from tasks_backend.testing.key_server import Answer, KeyServer, json_answer
from tasks_backend.testing.signing import Signer, key_set

LONG = 3600.0  # seconds: never, within a test
MAX_WAITING = 16  # waiting requests, unless a test sets another number


def keys_at(url: str, *, max_waiting: int = MAX_WAITING, **changed: float) -> KeySet:
    """A client without a cool-down that fetches only when it must."""
    times = {"timeout": 10.0, "cooldown": 0.0, "refresh_after": LONG, "max_age": LONG, **changed}
    return KeySet(url, ("EdDSA",), max_waiting=max_waiting, **times)


def age(keys: KeySet, seconds: float) -> None:
    """Make the keys older, as if this time had passed since they were confirmed."""
    keys._fetched_at -= seconds  # noqa: SLF001 - the process's clock cannot be advanced


async def verdict(keys: KeySet, kid: str) -> str:
    """`known`, or the code of the refusal."""
    try:
        assert (await keys.key(kid)).key_id == kid
    except ApiError as error:
        return error.code
    return "known"


@pytest.mark.parametrize("algorithm", ASYMMETRIC_ALGORITHMS)
def test_every_algorithm_of_the_settings_is_supported(algorithm: str) -> None:
    signer = Signer(algorithm)
    found = parse_key_set(key_set(signer), (algorithm,))
    assert found.keys[signer.kid].algorithm_name == algorithm
    assert not found.refused


def test_a_key_without_alg_gets_exactly_one_algorithm() -> None:
    """So an RSA key cannot be used with two."""
    jwk = {name: value for name, value in Signer("RS256").jwk.items() if name != "alg"}
    body = json.dumps({"keys": [jwk]}).encode()
    found = parse_key_set(body, ("RS256", "PS256"))
    assert [key.algorithm_name for key in found.keys.values()] == ["RS256"]
    assert not parse_key_set(body, ("PS256",)).keys


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"<html>", "no JSON"),
        (b'{"keys": [\xff]}', "no JSON"),
        (b"[" * 100_000 + b"]" * 100_000, "no JSON"),
        (b"[]", "no list of keys"),
        (b'{"keys": {}}', "no list of keys"),
    ],
    ids=["HTML", "not UTF-8", "deep nesting", "an array", "an object"],
)
def test_an_invalid_key_set_differs_from_an_empty_one(body: bytes, reason: str) -> None:
    with pytest.raises(NotAKeySet, match=reason):
        parse_key_set(body, ("EdDSA",))
    assert parse_key_set(b'{"keys": []}', ("EdDSA",)).keys == {}


def test_no_key_set_may_contain_a_development_key() -> None:
    signer = Signer(kid=f"{DEVELOPMENT_PREFIX}0123456789abcdef")
    assert not parse_key_set(key_set(signer), ("EdDSA",)).keys


@pytest.mark.parametrize("sign_bit", [0, 0x80])
@pytest.mark.parametrize("y", ["0", "1", "p - 1", "p", "p + 1", "order 8", "order 8, negated"])
def test_no_encoding_of_a_small_order_point_is_accepted(y: str, sign_bit: int) -> None:
    p = 2**255 - 19
    root = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
    values = {"0": 0, "1": 1, "p - 1": p - 1, "p": p, "p + 1": p + 1}
    number = {**values, "order 8": root, "order 8, negated": p - root}[y]
    point = bytearray(number.to_bytes(32, "little"))
    point[31] |= sign_bit
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": base64url(bytes(point)), "kid": "small"}
    assert parse_key_set(json.dumps({"keys": [jwk]}).encode(), ("EdDSA",)).refused == {"weak": 1}


@pytest.mark.proves("FR-008")
def test_one_fetch_serves_all_waiting_requests(signer: Signer) -> None:
    released = Event()
    with KeyServer(held_answer(json_answer(key_set(signer)), released)) as server:

        async def ask_together() -> list[str]:
            keys = keys_at(server.url, max_waiting=200)
            asking = [asyncio.create_task(verdict(keys, signer.kid)) for _ in range(200)]
            await soon(lambda: server.requests == 1)
            released.set()
            return await asyncio.gather(*asking)

        assert set(asyncio.run(ask_together())) == {"known"}
        assert server.requests == 1


def test_a_known_key_does_not_wait_for_a_due_refresh(signer: Signer) -> None:
    released = Event()
    with KeyServer(json_answer(key_set(signer))) as server:

        async def ask_on_and_on() -> None:
            keys = keys_at(server.url, refresh_after=LONG, max_age=3 * LONG)
            assert await verdict(keys, signer.kid) == "known"
            age(keys, 1.5 * LONG)
            server.answer = held_answer(json_answer(key_set()), released)
            for _ in range(100):
                assert await verdict(keys, signer.kid) == "known"
            await soon(lambda: server.requests == 2)
            assert await verdict(keys, signer.kid) == "known"
            released.set()
            await soon(lambda: not keys.has_keys)

        asyncio.run(ask_on_and_on())
    assert server.requests == 2


def test_a_key_created_during_a_fetch_is_found_by_the_next(signer: Signer) -> None:
    """A fetch that started before the request cannot reject a key id."""
    released, new = Event(), Signer()
    with KeyServer(held_answer(json_answer(key_set(signer)), released)) as server:

        async def rotate() -> list[str]:
            keys = keys_at(server.url, cooldown=0.05)
            first = asyncio.create_task(verdict(keys, signer.kid))
            await soon(lambda: server.requests == 1)
            server.answer = json_answer(key_set(signer, new))
            second = asyncio.create_task(verdict(keys, new.kid))
            await asyncio.sleep(0)
            released.set()
            return [await first, await second]

        assert asyncio.run(rotate()) == ["known", "known"]
    assert server.requests == 2


@pytest.mark.proves("FR-009")
def test_an_outage_is_not_the_fault_of_the_token() -> None:
    """A request whose fetch fails does not wait for another one."""
    released = Event()
    with KeyServer(held_answer(failing_answer, released)) as server:

        async def ask_twice() -> list[str]:
            keys = keys_at(server.url)
            first = asyncio.create_task(verdict(keys, "one"))
            await soon(lambda: server.requests == 1)
            second = asyncio.create_task(verdict(keys, "another"))
            await asyncio.sleep(0)
            released.set()
            return [await first, await second]

        assert asyncio.run(ask_twice()) == ["auth_unavailable", "auth_unavailable"]
    assert server.requests == 1


@pytest.mark.parametrize("answer", [failing_answer, json_answer(b'{"keys": []}')])
def test_a_fetch_starts_the_cool_down_whether_it_succeeds_or_not(answer: Answer) -> None:
    """No request waits for the end of a cool-down of hours."""
    with KeyServer(answer) as server:

        async def ask_often() -> Counter[str]:
            keys = keys_at(server.url, cooldown=LONG, timeout=1.0, max_waiting=50)
            first = await verdict(keys, "first")
            others = await asyncio.gather(*(verdict(keys, str(number)) for number in range(50)))
            return Counter([first, *others])

        verdicts = asyncio.run(ask_often())
    assert server.requests == 1
    assert verdicts["auth_unavailable"] == (51 if answer is failing_answer else 50)


def test_an_unknown_id_is_remembered_until_the_next_fetch(signer: Signer) -> None:
    with KeyServer(json_answer(key_set())) as server:

        async def ask_again() -> None:
            keys = keys_at(server.url, cooldown=LONG)
            for _ in range(100):
                assert await verdict(keys, signer.kid) == "invalid_token"
            assert server.requests == 1
            keys = keys_at(server.url, cooldown=0.05)
            assert await verdict(keys, signer.kid) == "invalid_token"
            server.answer = json_answer(key_set(signer))
            while await verdict(keys, signer.kid) == "invalid_token":
                pass
            assert await verdict(keys, signer.kid) == "known"

        asyncio.run(ask_again())
    assert server.requests == 3


def test_an_unknown_id_is_forgotten_when_the_next_fetch_starts(signer: Signer) -> None:
    """Even if it starts between the end of a fetch and the refusal that is based on it."""
    released, new = Event(), Signer()
    with KeyServer(held_answer(json_answer(key_set(signer)), released)) as server:

        async def meet() -> list[str]:
            keys = keys_at(server.url, cooldown=0.05)
            asking = asyncio.create_task(verdict(keys, new.kid))
            await soon(lambda: server.requests == 1)
            (fetch,) = asyncio.all_tasks() - {asking, asyncio.current_task()}

            def refresh(_: object) -> None:
                keys.refresh()

            fetch.add_done_callback(refresh)
            server.answer = json_answer(key_set(signer, new))
            await asyncio.sleep(0.1)  # until the cool-down is over
            released.set()
            return [await asking, await verdict(keys, new.kid)]

        assert asyncio.run(meet()) == ["invalid_token", "known"]
    assert server.requests == 2


@pytest.mark.proves("FR-018", "EDGE-9")
def test_only_a_bounded_number_of_requests_waits_for_unknown_ids(signer: Signer) -> None:
    """The others get the same answer as in an outage."""
    with KeyServer(json_answer(key_set(signer))) as server:

        async def flood() -> Counter[str]:
            keys = keys_at(server.url, cooldown=0.05)
            assert await verdict(keys, signer.kid) == "known"
            flood = [asyncio.create_task(verdict(keys, str(number))) for number in range(5000)]
            await asyncio.sleep(0)
            assert keys.waiting == MAX_WAITING
            assert await verdict(keys, signer.kid) == "known"
            verdicts = await asyncio.gather(*flood)
            assert len(keys._unknown_kids) <= MAX_WAITING  # noqa: SLF001 - not visible from outside
            assert keys.waiting == 0
            return Counter(verdicts)

        verdicts = asyncio.run(flood())
    assert verdicts == {"invalid_token": MAX_WAITING, "auth_unavailable": 5000 - MAX_WAITING}


def test_more_requests_may_wait_for_the_very_first_keys(signer: Signer) -> None:
    """After a start all requests wait for them, so none could be served instead."""
    released = Event()
    with KeyServer(held_answer(json_answer(key_set(signer)), released)) as server:

        async def start() -> Counter[str]:
            keys = keys_at(server.url)
            asking = [asyncio.create_task(verdict(keys, signer.kid)) for _ in range(1000)]
            await soon(lambda: server.requests == 1)
            assert keys.waiting == 8 * MAX_WAITING
            released.set()
            return Counter(await asyncio.gather(*asking))

        verdicts = asyncio.run(start())
    assert verdicts == {"known": 8 * MAX_WAITING, "auth_unavailable": 1000 - 8 * MAX_WAITING}


@pytest.mark.proves("FR-018")
def test_a_request_that_stops_waiting_frees_its_place(signer: Signer) -> None:
    """Whether it is answered, times out, reaches its deadline, is cancelled or its loop closes."""
    released = Event()
    with KeyServer(failing_answer) as server:

        async def wait_and_stop() -> None:
            keys = keys_at(server.url, timeout=0.1, cooldown=LONG)
            for number in range(20 * MAX_WAITING):
                assert await verdict(keys, str(number)) == "auth_unavailable"
            server.answer = held_answer(failing_answer, released)
            keys = keys_at(server.url, timeout=0.1)
            flood = await asyncio.gather(*(verdict(keys, str(n)) for n in range(1000)))
            assert set(flood) == {"auth_unavailable"}
            assert keys.waiting == 0
            past = asyncio.get_running_loop().time() - 1
            with pytest.raises(AuthUnavailable):
                await keys.key("late", past)
            assert keys.waiting == 0
            server.answer = held_answer(json_answer(key_set(signer)), released)
            keys = keys_at(server.url)
            waiting = [asyncio.create_task(verdict(keys, str(n))) for n in range(1000)]
            await asyncio.sleep(0)
            assert await verdict(keys, signer.kid) == "auth_unavailable"
            for task in waiting:
                task.cancel()
            await asyncio.wait(waiting)
            assert keys.waiting == 0
            released.set()
            assert await verdict(keys, signer.kid) == "known"

        asyncio.run(wait_and_stop())

    async def wait_in_vain() -> None:
        asking = [asyncio.create_task(verdict(keys, str(number))) for number in range(5)]
        await soon(lambda: endpoint.connections > 0)
        assert keys.waiting == len(asking)

    with HostileEndpoint(lambda visit: visit.send_for_ever(b"", 0.01)) as endpoint:
        keys = keys_at(endpoint.url)
        asyncio.run(wait_in_vain())
        assert keys.waiting == 0


OVERDUE = 2.5 * LONG
"""Seconds after which a key is no longer fresh, with a fetch every LONG."""


def overdue_keys_at(url: str, cooldown: float = 0.0) -> KeySet:
    return keys_at(url, cooldown=cooldown, refresh_after=LONG, max_age=9 * LONG)


@pytest.mark.proves("FR-008")
@pytest.mark.parametrize("callers", [1, 100])
def test_a_key_that_is_not_fresh_waits_for_a_fetch(callers: int, signer: Signer) -> None:
    """One fetch serves all such requests, and they do not count as waiting for unknown keys."""
    with KeyServer(json_answer(key_set(signer))) as server:

        async def withdraw() -> None:
            keys = overdue_keys_at(server.url)
            assert await verdict(keys, signer.kid) == "known"
            age(keys, OVERDUE)
            known = await asyncio.gather(*(verdict(keys, signer.kid) for _ in range(callers)))
            assert set(known) == {"known"}
            assert server.requests == 2
            age(keys, OVERDUE)
            server.answer = json_answer(key_set())
            refused = await asyncio.gather(*(verdict(keys, signer.kid) for _ in range(callers)))
            assert set(refused) == {"invalid_token"}

        asyncio.run(withdraw())


def test_a_withdrawn_key_is_refused_after_that_fetch(signer: Signer) -> None:
    """No second fetch, which would start after the cool-down, is needed."""
    with KeyServer(json_answer(key_set(signer))) as server:

        async def withdraw() -> str:
            keys = overdue_keys_at(server.url, cooldown=0.02)
            assert await verdict(keys, signer.kid) == "known"
            age(keys, OVERDUE)
            server.answer = json_answer(key_set())
            await asyncio.sleep(0.02)
            keys._cooldown = LONG  # noqa: SLF001 - of the fetch that comes now
            return await verdict(keys, signer.kid)

        assert asyncio.run(withdraw()) == "invalid_token"
    assert server.requests == 2


def test_in_an_outage_a_known_key_is_used_after_one_fetch_per_cool_down(signer: Signer) -> None:
    with KeyServer(json_answer(key_set(signer))) as server:

        async def go_down() -> None:
            keys = overdue_keys_at(server.url, cooldown=0.05)
            assert await verdict(keys, signer.kid) == "known"
            age(keys, OVERDUE)
            server.answer = failing_answer
            await asyncio.sleep(0.05)
            keys._cooldown = LONG  # noqa: SLF001 - of the fetch that comes now
            for _ in range(100):
                assert await verdict(keys, signer.kid) == "known"

        asyncio.run(go_down())
    assert server.requests == 2


def test_only_one_request_waits_for_a_hanging_endpoint(signer: Signer) -> None:
    """A hundred sequential requests would exceed the time limit if each waited."""
    with KeyServer(json_answer(key_set(signer))) as server:
        released = Event()

        async def hang() -> None:
            keys = overdue_keys_at(server.url)
            assert await verdict(keys, signer.kid) == "known"
            age(keys, OVERDUE)
            server.answer = held_answer(json_answer(key_set()), released)
            async with asyncio.timeout(PATIENCE):
                for _ in range(100):
                    assert await verdict(keys, signer.kid) == "known"
            assert server.requests == 2
            released.set()
            await soon(lambda: not keys.has_keys)

        asyncio.run(hang())


def test_a_wait_takes_at_most_half_of_the_remaining_time(signer: Signer) -> None:
    with KeyServer(json_answer(key_set(signer))) as server:
        released = Event()

        async def hurry() -> None:
            keys = overdue_keys_at(server.url)
            assert await verdict(keys, signer.kid) == "known"
            age(keys, OVERDUE)
            server.answer = held_answer(json_answer(key_set()), released)
            loop = asyncio.get_running_loop()
            deadline = loop.time() + 0.5
            async with asyncio.timeout_at(deadline):
                assert (await keys.key(signer.kid, deadline)).key_id == signer.kid
            released.set()

        asyncio.run(hurry())


def test_a_failed_fetch_that_started_before_the_request_is_repeated(signer: Signer) -> None:
    """It may have failed because the process was frozen."""
    released = Event()
    with KeyServer(json_answer(key_set(signer))) as server:

        async def freeze() -> str:
            keys = overdue_keys_at(server.url)
            assert await verdict(keys, signer.kid) == "known"
            server.answer = held_answer(failing_answer, released)
            keys.refresh()
            await soon(lambda: server.requests == 2)
            age(keys, OVERDUE)
            server.answer = json_answer(key_set())
            asking = asyncio.create_task(verdict(keys, signer.kid))
            await asyncio.sleep(0)
            released.set()
            return await asking

        assert asyncio.run(freeze()) == "invalid_token"


@pytest.mark.proves("FR-008")
def test_a_refresh_fetches_once_per_cool_down_and_no_request_waits(signer: Signer) -> None:
    released = Event()
    with KeyServer(json_answer(key_set(signer))) as server:

        async def refresh() -> None:
            keys = keys_at(server.url)
            assert await verdict(keys, signer.kid) == "known"
            server.answer = held_answer(json_answer(key_set()), released)
            keys._cooldown = LONG  # noqa: SLF001 - of the fetch that comes now
            for _ in range(100):
                keys.refresh()
                assert await verdict(keys, signer.kid) == "known"
            released.set()
            await soon(lambda: not keys.has_keys)
            for _ in range(100):
                keys.refresh()
            await asyncio.sleep(0)

        asyncio.run(refresh())
    assert server.requests == 2


def test_cancelling_a_request_does_not_cancel_the_shared_fetch(signer: Signer) -> None:
    released = Event()
    with KeyServer(held_answer(json_answer(key_set(signer)), released)) as server:

        async def leave() -> str:
            keys = keys_at(server.url)
            leaving = asyncio.create_task(verdict(keys, signer.kid))
            staying = asyncio.create_task(verdict(keys, signer.kid))
            await soon(lambda: server.requests == 1)
            leaving.cancel()
            await asyncio.wait([leaving])
            assert leaving.cancelled()
            released.set()
            return await staying

        assert asyncio.run(leave()) == "known"
    assert server.requests == 1


@pytest.mark.parametrize("begun", [False, True])
def test_a_cancelled_fetch_counts_as_failed(begun: bool, signer: Signer) -> None:
    released = Event()
    with KeyServer(held_answer(json_answer(key_set(signer)), released)) as server:

        async def kill() -> list[str]:
            keys = keys_at(server.url)
            asking = asyncio.create_task(verdict(keys, signer.kid))
            await asyncio.sleep(0)
            if begun:
                await soon(lambda: server.requests == 1)
            (fetch,) = asyncio.all_tasks() - {asking, asyncio.current_task()}
            fetch.cancel()
            verdicts = [await asking]
            released.set()
            return [*verdicts, await verdict(keys, signer.kid)]

        assert asyncio.run(kill()) == ["auth_unavailable", "known"]


def test_closing_stops_the_fetch_and_the_requests_that_wait_for_it(signer: Signer) -> None:
    with HostileEndpoint(Visit.hang) as endpoint:

        async def close() -> str:
            keys = keys_at(endpoint.url)
            await keys.close()
            asking = asyncio.create_task(verdict(keys, signer.kid))
            await soon(lambda: endpoint.connections == 1)
            await keys.close()
            assert asyncio.all_tasks() <= {asking, asyncio.current_task()}
            return await asking

        assert asyncio.run(close()) == "auth_unavailable"
    assert endpoint.connections == 1


def test_a_new_event_loop_does_not_wait_for_a_fetch_of_an_old_one(signer: Signer) -> None:
    released = Event()
    with KeyServer(held_answer(json_answer(key_set(signer)), released)) as server:
        keys = keys_at(server.url)
        with asyncio.Runner() as old:
            asking = old.get_loop().create_task(verdict(keys, signer.kid))
            old.run(soon(lambda: server.requests == 1))
            released.set()  # but the old loop is not running and does not see the answer
            assert asyncio.run(verdict(keys, signer.kid)) == "known"
            asyncio.run(keys.close())
            assert old.run(_result(asking)) == "known"
        assert asyncio.run(verdict(keys, signer.kid)) == "known"
    assert server.requests == 2


async def _result(task: asyncio.Task[str]) -> str:
    return await task


def test_keys_beyond_the_maximum_age_are_not_used(signer: Signer) -> None:
    with KeyServer(json_answer(key_set(signer))) as server:

        async def grow_old() -> None:
            keys = keys_at(server.url, max_age=0.05)
            assert not keys.has_keys
            await keys.key(signer.kid)
            server.answer = failing_answer
            await soon(lambda: not keys.has_keys)
            assert await verdict(keys, signer.kid) == "auth_unavailable"

        asyncio.run(grow_old())


def test_a_change_of_state_is_logged(signer: Signer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "tasks_backend.auth")
    bad = json.dumps({"keys": [signer.jwk, *[{"kid": str(n)} for n in range(200)], 1, 2]}).encode()
    with KeyServer(json_answer(key_set(signer))) as server:

        async def fetch(times: int) -> None:
            for _ in range(times):
                await verdict(keys, "unknown")

        keys = keys_at(server.url)
        for answer in (json_answer(key_set(signer)), json_answer(bad), failing_answer):
            server.answer = answer
            asyncio.run(fetch(20))
    assert server.requests == 60
    reason = "it answers with status 500: check the log of the auth server"
    unavailable = f"the key set at {server.url} is not usable: {reason}"
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("INFO", "the key set was fetched; usable keys: 1; refused: 0"),
        (
            "WARNING",
            "the key set was fetched; usable keys: 1; refused: 200 malformed, 2 without a proper id",
        ),
        ("WARNING", unavailable),
    ]


@pytest.mark.parametrize(
    ("ahead", "expected"), [(70, "70 s behind"), (-70, "70 s ahead of"), (5, ""), (None, "")]
)
def test_a_wrong_clock_is_logged_once(
    signer: Signer, caplog: pytest.LogCaptureFixture, ahead: int | None, expected: str
) -> None:
    """By the endpoint's `Date`: otherwise the log would only show that tokens are refused."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        body = key_set(signer)
        request.send_response_only(200)
        if ahead is not None:
            request.send_header("Date", formatdate(time.time() + ahead, usegmt=True))
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    async def fetch_twice() -> None:
        for _ in range(2):
            keys.refresh()
            await soon(lambda: keys._running_fetch() is None)  # noqa: SLF001

    with KeyServer(answer) as server:
        keys = keys_at(server.url, cooldown=0)
        asyncio.run(fetch_twice())
        assert server.requests == 2
    lines = [line for line in caplog.messages if "clock" in line]
    assert len(lines) == bool(expected)
    for line in lines:
        seconds = re.search(r"clock is (\d+) s (ahead of|behind) the auth server's", line)
        assert seconds
        assert abs(int(seconds[1]) - 70) <= 5
        assert seconds[2] == expected.partition(" s ")[2]


@pytest.mark.parametrize(("excess", "expected"), [(0, "known"), (1, "auth_unavailable")])
def test_the_size_limit_of_a_body_is_exact(excess: int, expected: str, signer: Signer) -> None:
    body = key_set(signer).ljust(MAX_BYTES + excess)
    with KeyServer(json_answer(body)) as server:
        assert asyncio.run(verdict(keys_at(server.url), signer.kid)) == expected


@pytest.mark.parametrize(("excess", "expected"), [(0, "known"), (1, "auth_unavailable")])
def test_the_limit_of_keys_in_a_set_is_exact(excess: int, expected: str, signer: Signer) -> None:
    keys = [signer.jwk, *[{**signer.jwk, "kid": str(n)} for n in range(MAX_KEYS - 1 + excess)]]
    with KeyServer(json_answer(json.dumps({"keys": keys}).encode())) as server:
        assert asyncio.run(verdict(keys_at(server.url), signer.kid)) == expected


def test_a_body_of_many_chunks_does_not_block_the_loop(signer: Signer) -> None:
    chunks = 20_000

    def behave(visit: Visit) -> None:
        visit.path()
        visit.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        visit.send(b"1\r\n \r\n" * chunks + b"0\r\n\r\n")

    with HostileEndpoint(behave) as endpoint:

        async def watch() -> int:
            asking = asyncio.create_task(verdict(keys_at(endpoint.url), signer.kid))
            turns = 0
            while not asking.done():
                turns += 1
                await asyncio.sleep(0)
            return turns

        assert asyncio.run(watch()) > chunks


def test_a_fetch_sends_a_user_agent_and_no_credentials(signer: Signer) -> None:
    heads: list[dict[str, str]] = []

    def record(request: BaseHTTPRequestHandler) -> None:
        heads.append({name.lower(): value for name, value in request.headers.items()})
        request.send_response(200)
        request.send_header("Set-Cookie", "tracked=yes")
        request.end_headers()
        request.wfile.write(key_set(signer))

    with KeyServer(record) as server:
        keys = keys_at(server.url)
        for _ in range(2):
            asyncio.run(verdict(keys, "unknown"))
    assert len(heads) == 2
    assert heads[0] == heads[1]
    assert heads[0].pop("host").startswith("127.0.0.1:")
    assert heads[0] == {
        "accept": "application/json",
        "accept-encoding": "identity",
        "connection": "keep-alive",
        "user-agent": "tasks_backend",
    }


def test_plain_http_fetches_use_no_proxy(signer: Signer, monkeypatch: pytest.MonkeyPatch) -> None:
    with HostileEndpoint(Visit.hang) as proxy, KeyServer(json_answer(key_set(signer))) as server:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        assert asyncio.run(verdict(keys_at(server.url), signer.kid)) == "known"
    assert proxy.connections == 0


def test_https_fetches_through_a_proxy_are_tunnelled(
    signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def tunnel(visit: Visit) -> None:
        asked.append(visit.path())

    with HostileEndpoint(tunnel) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        monkeypatch.delenv("no_proxy", raising=False)
        keys = keys_at("https://auth.example.com/api/auth/jwks")
        assert asyncio.run(verdict(keys, signer.kid)) == "auth_unavailable"
    assert asked == ["auth.example.com:443"]


def certificate(directory: Path, address: str = "127.0.0.1", days: int = 1) -> Path:
    """A self-signed certificate with its key, in one file."""
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "keys")])
    now = dt.datetime.now(dt.UTC)
    host = x509.IPAddress(ipaddress.ip_address(address))
    made = (
        x509.CertificateBuilder(name, name, private.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=7))
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([host]), critical=False)
        .sign(private, hashes.SHA256())
    )
    path = directory / f"{address} {days}.pem"
    path.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.mark.parametrize(
    ("address", "days", "trusted", "expected"),
    [
        ("127.0.0.1", 1, True, "known"),
        ("127.0.0.1", 1, False, "auth_unavailable"),
        ("127.0.0.1", -1, True, "auth_unavailable"),
        ("127.0.0.2", 1, True, "auth_unavailable"),
    ],
    ids=["trusted", "untrusted", "expired", "of another host"],
)
def test_keys_over_https_need_a_trusted_certificate(
    address: str,
    days: int,
    trusted: bool,
    expected: str,
    signer: Signer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = certificate(tmp_path, address, days)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(path)
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(path))
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    with KeyServer(json_answer(key_set(signer)), tls=tls) as server:
        assert asyncio.run(verdict(keys_at(server.url), signer.kid)) == expected


@pytest.mark.parametrize(
    "behaviour", [Visit.hang, lambda visit: visit.send(b"HTTP/1.1 200 OK\r\n")]
)
def test_an_https_address_without_tls_is_an_outage(behaviour: Behaviour) -> None:
    with HostileEndpoint(behaviour) as endpoint:
        keys = keys_at(endpoint.url.replace("http:", "https:"), timeout=0.3)
        assert asyncio.run(verdict(keys, "any")) == "auth_unavailable"
    assert endpoint.connections == 1
