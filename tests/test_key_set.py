"""The key set client by itself: when it asks, whom it lets wait, and what it believes."""

import asyncio
import datetime as dt
import ipaddress
import json
import logging
import ssl
from collections import Counter
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from threading import Event

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from support.forgery import base64url
from support.hostile_endpoint import Behaviour, HostileEndpoint, Visit
from support.key_server import (
    Answer,
    KeyServer,
    failing_answer,
    held_answer,
    json_answer,
    soon,
)
from support.signing import Signer, key_set

from tasks_backend.auth.key_set import MAX_BYTES, MAX_WAITING, KeySet
from tasks_backend.auth.keys import DEVELOPMENT_PREFIX, MAX_KEYS, NotAKeySet, parse_key_set
from tasks_backend.errors import ApiError
from tasks_backend.settings import ASYMMETRIC_ALGORITHMS

LONG = 3600.0  # seconds: never, within a test


def keys_at(url: str, **changed: float) -> KeySet:
    """A client that asks when it must, and may again at once."""
    times = {"timeout": 10.0, "cooldown": 0.0, "refresh_after": LONG, "max_age": LONG, **changed}
    return KeySet(url, ("EdDSA",), **times)  # type: ignore[arg-type] # every one is a time


async def verdict(keys: KeySet, kid: str) -> str:
    """`known`, or the code of the refusal."""
    try:
        assert (await keys.key(kid)).key_id == kid
    except ApiError as error:
        return error.code
    return "known"


@pytest.mark.parametrize("algorithm", ASYMMETRIC_ALGORITHMS)
def test_every_algorithm_of_the_settings_is_known(algorithm: str) -> None:
    signer = Signer(algorithm)
    found = parse_key_set(key_set(signer), (algorithm,))
    assert found.keys[signer.kid].algorithm_name == algorithm
    assert not found.refused


def test_a_key_that_names_no_algorithm_has_one_nevertheless() -> None:
    """So that an RSA key cannot be used with two."""
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
def test_what_is_no_key_set_is_told_from_one_without_keys(body: bytes, reason: str) -> None:
    with pytest.raises(NotAKeySet, match=reason):
        parse_key_set(body, ("EdDSA",))
    assert parse_key_set(b'{"keys": []}', ("EdDSA",)).keys == {}


def test_only_development_takes_the_keys_of_its_issuer() -> None:
    signer = Signer(kid=f"{DEVELOPMENT_PREFIX}0123456789abcdef")
    assert not parse_key_set(key_set(signer), ("EdDSA",)).keys
    assert parse_key_set(key_set(signer), ("EdDSA",), development=True).keys


@pytest.mark.parametrize("sign_bit", [0, 0x80])
@pytest.mark.parametrize("y", ["0", "1", "p - 1", "p", "p + 1", "order 8", "order 8, negated"])
def test_no_spelling_of_a_point_of_small_order_is_taken(y: str, sign_bit: int) -> None:
    p = 2**255 - 19
    root = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
    values = {"0": 0, "1": 1, "p - 1": p - 1, "p": p, "p + 1": p + 1}
    number = {**values, "order 8": root, "order 8, negated": p - root}[y]
    point = bytearray(number.to_bytes(32, "little"))
    point[31] |= sign_bit
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": base64url(bytes(point)), "kid": "small"}
    assert parse_key_set(json.dumps({"keys": [jwk]}).encode(), ("EdDSA",)).refused == {"weak": 1}


@pytest.mark.proves("FR-008")
def test_one_fetch_serves_all_who_wait(signer: Signer) -> None:
    released = Event()
    with KeyServer(held_answer(json_answer(key_set(signer)), released)) as server:

        async def ask_together() -> list[str]:
            keys = keys_at(server.url)
            asking = [asyncio.create_task(verdict(keys, signer.kid)) for _ in range(200)]
            await soon(lambda: server.requests == 1)
            released.set()
            return await asyncio.gather(*asking)

        assert set(asyncio.run(ask_together())) == {"known"}
        assert server.requests == 1


def test_a_known_key_does_not_wait_for_the_fetch_that_it_is_due_for(signer: Signer) -> None:
    released = Event()
    with KeyServer(json_answer(key_set(signer))) as server:

        async def ask_on_and_on() -> None:
            keys = keys_at(server.url, refresh_after=0.0)
            assert await verdict(keys, signer.kid) == "known"
            server.answer = held_answer(json_answer(key_set()), released)
            for _ in range(100):
                assert await verdict(keys, signer.kid) == "known"
            await soon(lambda: server.requests == 2)
            assert await verdict(keys, signer.kid) == "known"
            released.set()
            await soon(lambda: not keys.has_keys)

        asyncio.run(ask_on_and_on())
    assert server.requests == 2


def test_a_key_made_while_a_fetch_travels_is_found_by_the_next(signer: Signer) -> None:
    """The word of a fetch that began before the question is no answer to it."""
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
    """Nobody who waits for a fetch that fails waits for another."""
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
    """And a cool-down of hours makes nobody wait for hours."""
    with KeyServer(answer) as server:

        async def ask_often() -> Counter[str]:
            keys = keys_at(server.url, cooldown=LONG, timeout=1.0)
            first = await verdict(keys, "first")
            others = await asyncio.gather(*(verdict(keys, str(number)) for number in range(50)))
            return Counter([first, *others])

        verdicts = asyncio.run(ask_often())
    assert server.requests == 1
    assert verdicts["auth_unavailable"] == (51 if answer is failing_answer else 50)


def test_an_id_that_a_fetch_lacked_is_remembered_until_the_next(signer: Signer) -> None:
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


def test_a_refusal_is_forgotten_when_the_next_fetch_begins(signer: Signer) -> None:
    """Even if that is in the moment between the end of a fetch and the refusal by its word."""
    released, new = Event(), Signer()
    with KeyServer(held_answer(json_answer(key_set(signer)), released)) as server:

        async def meet() -> list[str]:
            keys = keys_at(server.url, cooldown=0.05, refresh_after=0.0)
            asking = asyncio.create_task(verdict(keys, new.kid))
            await soon(lambda: server.requests == 1)
            (fetch,) = asyncio.all_tasks() - {asking, asyncio.current_task()}

            def ask_for_a_known_key(_: object) -> None:
                with suppress(StopIteration):  # it is answered without a wait
                    keys.key(signer.kid).send(None)

            fetch.add_done_callback(ask_for_a_known_key)
            server.answer = json_answer(key_set(signer, new))
            await asyncio.sleep(0.1)  # until the cool-down is over
            released.set()
            return [await asking, await verdict(keys, new.kid)]

        assert asyncio.run(meet()) == ["invalid_token", "known"]
    assert server.requests == 2


def test_unknown_ids_take_a_bounded_number_of_places(signer: Signer) -> None:
    """Who finds none free is told that nothing can be known: the same that an outage says."""
    with KeyServer(json_answer(key_set(signer))) as server:

        async def flood() -> Counter[str]:
            keys = keys_at(server.url, cooldown=0.05)
            flood = await asyncio.gather(*(verdict(keys, str(number)) for number in range(5000)))
            assert await verdict(keys, signer.kid) == "known"
            assert len(keys._absent) <= MAX_WAITING  # noqa: SLF001 - nobody outside can tell
            return Counter(flood)

        verdicts = asyncio.run(flood())
    assert verdicts == {"invalid_token": MAX_WAITING, "auth_unavailable": 5000 - MAX_WAITING}
    assert server.requests == 2


def test_places_are_given_back(signer: Signer) -> None:
    """By those who are answered, who give up, and who are cancelled."""
    released = Event()
    with KeyServer(failing_answer) as server:

        async def come_and_go() -> None:
            keys = keys_at(server.url, timeout=0.1, cooldown=LONG)
            for number in range(MAX_WAITING):
                assert await verdict(keys, str(number)) == "auth_unavailable"
            server.answer = held_answer(failing_answer, released)
            keys = keys_at(server.url, timeout=0.1)
            flood = await asyncio.gather(*(verdict(keys, str(n)) for n in range(MAX_WAITING)))
            assert set(flood) == {"auth_unavailable"}
            server.answer = held_answer(json_answer(key_set(signer)), released)
            keys = keys_at(server.url)
            waiting = [asyncio.create_task(verdict(keys, str(n))) for n in range(MAX_WAITING)]
            await asyncio.sleep(0)
            assert await verdict(keys, signer.kid) == "auth_unavailable"
            for task in waiting:
                task.cancel()
            await asyncio.wait(waiting)
            released.set()
            assert await verdict(keys, signer.kid) == "known"

        asyncio.run(come_and_go())


def test_whoever_leaves_does_not_take_the_fetch_along(signer: Signer) -> None:
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
def test_a_fetch_that_dies_is_a_failed_one(begun: bool, signer: Signer) -> None:
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


def test_closing_stops_the_fetch_and_those_who_wait_for_it(signer: Signer) -> None:
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


def test_a_new_event_loop_does_not_wait_for_an_old_ones_fetch(signer: Signer) -> None:
    released = Event()
    with KeyServer(held_answer(json_answer(key_set(signer)), released)) as server:
        keys = keys_at(server.url)
        with asyncio.Runner() as old:
            asking = old.get_loop().create_task(verdict(keys, signer.kid))
            old.run(soon(lambda: server.requests == 1))
            released.set()  # yet the old loop, which is not running, does not see the answer
            assert asyncio.run(verdict(keys, signer.kid)) == "known"
            asyncio.run(keys.close())
            assert old.run(_result(asking)) == "known"
        assert asyncio.run(verdict(keys, signer.kid)) == "known"
    assert server.requests == 2


async def _result(task: asyncio.Task[str]) -> str:
    return await task


def test_keys_are_no_keys_any_more_once_they_are_too_old(signer: Signer) -> None:
    with KeyServer(json_answer(key_set(signer))) as server:

        async def grow_old() -> None:
            keys = keys_at(server.url, max_age=0.05)
            assert not keys.has_keys
            await keys.key(signer.kid)
            server.answer = failing_answer
            await soon(lambda: not keys.has_keys)
            assert await verdict(keys, signer.kid) == "auth_unavailable"

        asyncio.run(grow_old())


def test_a_state_is_logged_when_it_begins(signer: Signer, caplog: pytest.LogCaptureFixture) -> None:
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
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("INFO", "the key set was fetched; usable keys: 1; refused: 0"),
        (
            "WARNING",
            "the key set was fetched; usable keys: 1; refused: 200 malformed, 2 without a proper id",
        ),
        ("WARNING", "the key set could not be fetched: status 500"),
    ]


@pytest.mark.parametrize(("excess", "expected"), [(0, "known"), (1, "auth_unavailable")])
def test_a_body_has_a_size_and_not_a_byte_more(excess: int, expected: str, signer: Signer) -> None:
    body = key_set(signer).ljust(MAX_BYTES + excess)
    with KeyServer(json_answer(body)) as server:
        assert asyncio.run(verdict(keys_at(server.url), signer.kid)) == expected


@pytest.mark.parametrize(("excess", "expected"), [(0, "known"), (1, "auth_unavailable")])
def test_a_set_has_a_number_of_keys_and_not_one_more(
    excess: int, expected: str, signer: Signer
) -> None:
    keys = [signer.jwk, *[{**signer.jwk, "kid": str(n)} for n in range(MAX_KEYS - 1 + excess)]]
    with KeyServer(json_answer(json.dumps({"keys": keys}).encode())) as server:
        assert asyncio.run(verdict(keys_at(server.url), signer.kid)) == expected


def test_a_body_of_many_chunks_leaves_the_loop_to_others(signer: Signer) -> None:
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


def test_the_request_says_who_asks_and_brings_nothing_else(signer: Signer) -> None:
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


def test_no_proxy_is_asked_for_keys_over_plain_http(
    signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with HostileEndpoint(Visit.hang) as proxy, KeyServer(json_answer(key_set(signer))) as server:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        assert asyncio.run(verdict(keys_at(server.url), signer.kid)) == "known"
    assert proxy.connections == 0


def test_a_proxy_carries_keys_over_https_and_sees_nothing(
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
    """A certificate of nobody but itself, with its key, in one file."""
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
    ids=["trusted", "signed by nobody", "expired", "of another host"],
)
def test_keys_over_https_need_a_certificate_that_is_trusted(
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
def test_what_does_not_speak_tls_is_no_https_endpoint(behaviour: Behaviour) -> None:
    with HostileEndpoint(behaviour) as endpoint:
        keys = keys_at(endpoint.url.replace("http:", "https:"), timeout=0.3)
        assert asyncio.run(verdict(keys, "any")) == "auth_unavailable"
    assert endpoint.connections == 1
