"""A good token while the key set endpoint misbehaves: the answer is 200, 401 or 503, in time.

An unusable answer of the endpoint is an outage (503), unless the keys are already known (200).
A usable key set without the token's key refuses the token (401).
"""

import asyncio
import gzip
import json
import logging
import re
import secrets
import socket
import statistics
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from threading import Event
from typing import Any

import httpx2
import jwt
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed448, padding, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm
from support.forgery import base64url, segment
from support.hostile_endpoint import (
    CHUNKED,
    OK,
    PLAIN,
    Behaviour,
    HostileEndpoint,
    answer,
    break_off,
    endless,
    hang_up,
    never_read,
    raw,
    redirect,
    silent,
)
from support.key_server import failing_answer, held_answer

from tasks_backend import Settings, create_app
from tasks_backend.auth.keys import parse_key_set
from tasks_backend.testing.key_server import Answer, KeyServer, json_answer
from tasks_backend.testing.service import problem, served
from tasks_backend.testing.signing import AUDIENCE, Signer, key_set
from tasks_backend.testing.waiting import until

CANARY = "nothing-of-this-may-be-repeated"
IMPATIENT, PATIENT = 0.25, 10.0  # seconds for a fetch that must fail, or must not
SLACK = 5.0  # seconds that a busy machine may add to any timeout
SUB = secrets.token_hex(16)
GOOD = Signer()


def lasting(signer: Signer) -> str:
    """A token for a table, which is made long before it is used on a busy machine."""
    return signer.token(SUB, exp=int(time.time()) + 86_400)


GOOD_TOKEN = lasting(GOOD)
OTHER = Signer()
KEYS = key_set(GOOD)


def members(*keys: object) -> bytes:
    return json.dumps({"keys": keys, "canary": CANARY}).encode()


HTML = f"<!doctype html><title>{CANARY}</title><p>Sign in to the Wi-Fi".encode()


def one_byte_chunks(body: bytes) -> bytes:
    return b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\n\r\n"


BROKEN: dict[str, Behaviour] = {
    # not a key set
    "HTML": answer(HTML),
    "an empty body": answer(b""),
    "truncated JSON": answer(KEYS[:-20]),
    "two documents": answer(KEYS + KEYS),
    "JSONP": answer(b"callback(" + KEYS + b")"),
    "UTF-16": answer(KEYS.decode().encode("utf-16")),
    "UTF-32": answer(KEYS.decode().encode("utf-32")),
    "not UTF-8": answer(KEYS.replace(b'"keys"', b'"\xff": 1, "keys"')),
    "deep nesting": answer(b'{"keys": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
    "an array on top": answer(json.dumps([GOOD.jwk]).encode()),
    "a string on top": answer(f'"{CANARY}"'.encode()),
    "a number on top": answer(b"1e999"),
    "null on top": answer(b"null"),
    "no member keys": answer(json.dumps({"Keys": [GOOD.jwk], "kid": CANARY}).encode()),
    "a bare key": answer(json.dumps(GOOD.jwk).encode()),
    "keys is an object": answer(json.dumps({"keys": {GOOD.kid: GOOD.jwk}}).encode()),
    "keys is a string": answer(json.dumps({"keys": KEYS.decode()}).encode()),
    "keys is null": answer(b'{"keys": null}'),
    "257 keys": answer(members(GOOD.jwk, *range(256))),
    "10,000 keys": answer(members(GOOD.jwk, *[{**GOOD.jwk, "kid": str(n)} for n in range(9_999)])),
    # compressed, although identity was requested
    "gzip": answer(gzip.compress(KEYS), "Content-Encoding: gzip"),
    "deflate": answer(zlib.compress(KEYS), "Content-Encoding: deflate"),
    "a gzip bomb": answer(gzip.compress(b" " * 20_000_000 + KEYS), "Content-Encoding: gzip"),
    # other statuses, even with good keys
    "204": raw(b"HTTP/1.1 204 No Content\r\n\r\n"),
    "206": answer(KEYS, status="206 Partial Content"),
    "304": raw(b"HTTP/1.1 304 Not Modified\r\n\r\n"),
    "401": answer(KEYS, status="401 Unauthorized"),
    "403": answer(KEYS, status="403 Forbidden"),
    "404": answer(KEYS, status="404 Not Found"),
    "429": answer(KEYS, "Retry-After: 3600", status="429 Too Many Requests"),
    "500": answer(KEYS, status="500 Internal Server Error"),
    "503": answer(KEYS, status="503 Service Unavailable"),
    "101": raw(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n" + KEYS),
    # redirects; a client that follows one gets good keys
    "a redirect on the same host": redirect("302 Found", "/elsewhere", KEYS),
    "a redirect to another host": redirect("302 Found", "http://localhost:{port}/elsewhere", KEYS),
    "a permanent redirect": redirect(
        "308 Permanent Redirect", "http://127.0.0.1:{port}/elsewhere", KEYS
    ),
    "a redirect to a file": redirect("302 Found", "file:///etc/hostname", KEYS),
    "a redirect loop": redirect("307 Temporary Redirect", "http://127.0.0.1:{port}{path}", KEYS),
    # broken HTTP
    "garbage": raw(secrets.token_bytes(4096)),
    "no status line, as HTTP/0.9": raw(KEYS),
    "a status line and no more": raw(OK),
    "a version of HTTP that was not asked for": raw(b"HTTP/2 200\r\n\r\n" + KEYS),
    "a header without a colon": raw(OK + CANARY.encode() + b"\r\n\r\n" + KEYS),
    "a negative length": answer(KEYS, length=-1),
    "two lengths": answer(KEYS, "Content-Length: 2"),
    "a length beyond the end": answer(KEYS, length=len(KEYS) + 1),
    "a length before the end": answer(KEYS, length=len(KEYS) - 1),
    "a chunk of no size": raw(CHUNKED + b"zz\r\n" + KEYS + b"\r\n0\r\n\r\n"),
    "a last chunk that does not come": raw(CHUNKED + b"%x\r\n%s\r\n" % (len(KEYS), KEYS)),
    "closed when accepted": hang_up,
    "closed when asked": raw(b""),
    "reset when asked": break_off(b""),
    "reset in the body": break_off(PLAIN + KEYS[:20]),
    # too large
    "a huge body, announced": endless(OK + b"Content-Length: 9999999999\r\n\r\n", b" " * 65_536),
    "a huge body, not announced": endless(PLAIN, b" " * 65_536),
    "endless chunks": endless(CHUNKED, b"10000\r\n" + b" " * 65_536 + b"\r\n"),
    "endless headers": endless(OK, b"X-More: of-the-same\r\n" * 100),
    "a header that never ends": endless(OK + b"X-More: ", b"x" * 65_536),
    # too slow
    "no answer": silent(),
    "no answer, and the request not read": never_read,
    "no body": silent(OK + b"Content-Length: 100\r\n\r\n"),
    "half a body": silent(OK + b"Content-Length: %d\r\n\r\n" % len(KEYS) + KEYS[:-1]),
    "a body without an end": silent(PLAIN + KEYS),
    "a dripping body": endless(PLAIN, b" ", pause=0.01),
    "dripping chunks": endless(CHUNKED, b"1\r\n \r\n", pause=0.01),
    "endless chunks of one byte": endless(CHUNKED, b"1\r\n \r\n" * 1000),
    "a dripping header": endless(OK + b"X-More: ", b"x", pause=0.01),
    "dripping headers": endless(OK, b"X-More: of-the-same\r\n", pause=0.01),
    "endless provisional answers": endless(b"", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 100),
}

USABLE: dict[str, Behaviour] = {
    "keys as Better Auth serves them": answer(KEYS),
    "another media type": raw(OK + b"Content-Type: text/html\r\n\r\n" + KEYS),
    "HTTP/1.0": raw(b"HTTP/1.0 200 OK\r\n\r\n" + KEYS),
    "chunks of one byte": raw(CHUNKED + one_byte_chunks(KEYS)),
    "an answer in many small pieces": raw(*(PLAIN[n : n + 1] for n in range(len(PLAIN))), KEYS),
    "a slow first byte, in time": raw(b"", PLAIN + KEYS, pause=0.2),
    "a provisional answer first": raw(b"HTTP/1.1 103 Early Hints\r\n\r\n" + PLAIN + KEYS),
    "a byte order mark": answer(b"\xef\xbb\xbf" + KEYS),
    "an encoding that is not applied": answer(KEYS, "Content-Encoding: gzip"),
    "members that are no objects": answer(members(None, 1, "key", [], [[GOOD.jwk]], GOOD.jwk)),
    "a number of 5,000 digits": answer(KEYS.replace(b"[", b'[{"n": ' + b"1" * 5000 + b"}, ")),
    "the same key twice": answer(members(GOOD.jwk, {**GOOD.jwk, "use": "sig"})),
    "alg Ed25519, the name of RFC 9864": answer(members({**GOOD.jwk, "alg": "Ed25519"})),
    "no alg": answer(members({k: v for k, v in GOOD.jwk.items() if k != "alg"})),
    "use and key_ops": answer(members({**GOOD.jwk, "use": "sig", "key_ops": ["verify"]})),
    "certificates that prove nothing": answer(
        members({**GOOD.jwk, "x5u": "http://127.0.0.1:1/", "x5c": [CANARY], "jku": CANARY})
    ),
}


@dataclass(frozen=True)
class Refused:
    """The members of a set, and a token that none of them may verify."""

    members: tuple[object, ...]
    token: str = GOOD_TOKEN


def altered(**changed: object) -> Refused:
    """The good key with one member changed: if it were used, the good token would be valid."""
    return Refused(({k: v for k, v in {**GOOD.jwk, **changed}.items() if v is not ...},))


def owned(signer: Signer, **changed: object) -> Refused:
    """Another signer's key, optionally with a changed member, and a token of that signer."""
    return Refused(({**signer.jwk, **changed},), lasting(signer))


def sealed(jwk: dict[str, Any], sign: Callable[[bytes], bytes]) -> Refused:
    """A key that no honest signer has, and a token signed with it."""
    header = {"alg": jwk["alg"], "kid": jwk["kid"]}
    message = f"{segment(header)}.{segment(GOOD.claims(SUB))}"
    return Refused((jwk,), f"{message}.{base64url(sign(message.encode()))}")


def weak_rsa() -> Refused:
    private = rsa.generate_private_key(65537, 1024)
    jwk = {**RSAAlgorithm.to_jwk(private.public_key(), as_dict=True), "alg": "RS256", "kid": "1024"}
    del jwk["key_ops"]
    return sealed(jwk, lambda message: private.sign(message, padding.PKCS1v15(), hashes.SHA256()))


def ed448_key() -> Refused:
    private = ed448.Ed448PrivateKey.generate()
    x = base64url(private.public_key().public_bytes_raw())
    jwk = {"kty": "OKP", "crv": "Ed448", "x": x, "alg": "EdDSA", "kid": "448"}
    return sealed(jwk, private.sign)


def small_order() -> Refused:
    """A key under which one signature fits every message; no secret is needed."""
    x = b"\x01".ljust(32, b"\0")
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": base64url(x), "alg": "EdDSA", "kid": "small"}
    return sealed(jwk, lambda _: x + bytes(32))


def private_jwk(signer: Signer) -> dict[str, Any]:
    kinds: dict[str, Any] = {"EdDSA": OKPAlgorithm, "ES256": ECAlgorithm, "RS256": RSAAlgorithm}
    secret = kinds[signer.algorithm].to_jwk(signer.private, as_dict=True)
    return {**secret, **signer.jwk}


ES256, ES384, RS256 = Signer("ES256"), Signer("ES384"), Signer("RS256")
EMPTY = answer(members())
REFUSED: dict[str, Refused] = {
    "no keys": Refused(()),
    "another key": Refused((OTHER.jwk,)),
    "two keys under one id": Refused((GOOD.jwk, {**OTHER.jwk, "kid": GOOD.kid})),
    "two algorithms under one id": Refused((GOOD.jwk, {**RS256.jwk, "kid": GOOD.kid})),
    "a key beside its secret": Refused((GOOD.jwk, private_jwk(GOOD))),
    "a secret Ed25519 key": Refused((private_jwk(GOOD),)),
    "a secret EC key": Refused((private_jwk(ES256),), lasting(ES256)),
    "a secret RSA key": Refused((private_jwk(RS256),), lasting(RS256)),
    "a symmetric key": Refused(({"kty": "oct", "k": base64url(b"k" * 32), "kid": GOOD.kid},)),
    "a key that is symmetric too": altered(k=base64url(b"k" * 32)),
    "an RSA key of 1,024 bits": weak_rsa(),
    "an RSA key of 16,384 bits": owned(RS256, n=base64url(b"\xff" * 2048)),
    "an even RSA exponent": owned(RS256, e=base64url(b"\x01\x00\x00")),
    "an RSA exponent of one": owned(RS256, e=base64url(b"\x01")),
    "an Ed25519 point of small order": small_order(),
    "a point beside the curve": owned(ES256, y=ES256.jwk["x"]),
    "an EC key on another curve": owned(ES384, alg="ES256"),
    "an Ed448 key": ed448_key(),
    "an X25519 key": altered(crv="X25519"),
    "a curve that is none": altered(crv="P-25519"),
    "a type that is none": altered(kty="OKP2"),
    "a type that is a list": altered(kty=["OKP"]),
    "no type": altered(kty=...),
    "no point": altered(x=...),
    "a point that is a number": altered(x=1),
    "a point that is no base64": altered(x="!" * 43),
    "a point that is short": altered(x=GOOD.jwk["x"][:-2]),
    "alg none": altered(alg="none"),
    "alg empty": altered(alg=""),
    "alg a list": altered(alg=["EdDSA"]),
    "alg a number": altered(alg=1),
    "alg symmetric": altered(alg="HS256"),
    "alg of another type": altered(alg="RS256"),
    "alg not in the settings": owned(ES384),
    "use enc": altered(use="enc"),
    "use a list": altered(use=["sig"]),
    "key_ops to sign": altered(key_ops=["sign"]),
    "key_ops a string": altered(key_ops="verify"),
    "key_ops a number": altered(key_ops=1),
    "key_ops null": altered(key_ops=None),
    "key_ops deeply nested": altered(key_ops=json.loads("[" * 200 + "]" * 200)),
    "kid missing": altered(kid=...),
    "kid a number": altered(kid=1),
    "kid a list": altered(kid=[GOOD.kid]),
    "kid empty": altered(kid=""),
    "kid huge": altered(kid=GOOD.kid * 1000),
    "kid with control characters": altered(kid=f"{GOOD.kid}\r\n\0"),
    "kid with half a surrogate": altered(kid=f"{GOOD.kid}\ud800"),
    "a key of the development issuer's": owned(Signer(kid="tasks-backend-dev-0123456789abcdef")),
}
WORTH_REFUSING = (
    "a secret Ed25519 key|a secret EC key|a key that is symmetric too"
    "|an RSA key of 1,024 bits|an Ed25519 point of small order|an Ed448 key"
    "|use enc|use a list|key_ops to sign|key_ops a string|key_ops null"
    "|alg not in the settings|a key of the development issuer's"
).split("|")
"""The members with which PyJWT alone would accept the token."""


def under_another_id(refused: Refused, kid: str) -> list[object]:
    return [
        {**member, "kid": kid}
        if isinstance(member, dict) and member.get("kid") == GOOD.kid
        else member
        for member in refused.members
    ]


SPOILT = [key for name, refused in REFUSED.items() for key in under_another_id(refused, name)]


@dataclass(frozen=True)
class Mode:
    behaviour: Behaviour
    cold: int
    """The answer to the mode's token while no key is known."""
    warm: int
    """The answer to the good token after known keys were refreshed."""
    token: str = GOOD_TOKEN
    timeout: float = PATIENT


MODES = {
    **{name: Mode(behaviour, 503, 200, timeout=IMPATIENT) for name, behaviour in BROKEN.items()},
    **{name: Mode(behaviour, 200, 200) for name, behaviour in USABLE.items()},
    **{
        name: Mode(answer(members(*refused.members)), 401, 401, refused.token)
        for name, refused in REFUSED.items()
    },
    "all that is refused beside the good key": Mode(answer(members(*SPOILT, GOOD.jwk)), 200, 200),
}


def show(figures: str) -> None:
    """Print what `pytest -s` is for."""
    print(f"\n{figures}")  # noqa: T201 - figures are for people


@pytest.fixture(scope="module")
def client() -> Iterator[httpx2.Client]:
    with httpx2.Client(timeout=60) as client:
        yield client


@contextmanager
def service_with_keys_at(url: str, settings: Settings, **changed: object) -> Iterator[str]:
    """A separate service that fetches keys often from this endpoint."""
    often = {"jwks_url": url, "jwks_cooldown": 0.02, "jwks_refresh_after": 0.01}
    with served(create_app(settings.model_copy(update={**often, **changed}))) as service:
        yield service


Stage = tuple[HostileEndpoint, str]
"""An endpoint for all modes, and the URL of the service that fetches from it."""


@pytest.fixture(scope="module")
def stages(settings: Settings) -> Iterator[dict[float, Stage]]:
    """By the fetch timeout of the service. No service is restarted between the modes."""
    with ExitStack() as stack:
        stages = {}
        for timeout in (IMPATIENT, PATIENT):
            endpoint = stack.enter_context(HostileEndpoint(EMPTY))
            service = service_with_keys_at(endpoint.url, settings, jwks_timeout=timeout)
            stages[timeout] = endpoint, stack.enter_context(service)
        yield stages


@pytest.fixture(scope="module")
def waits() -> Iterator[list[tuple[float, float, str]]]:
    """The time of each answer and its limit; the one nearest to its limit is printed."""
    waits: list[tuple[float, float, str]] = []
    yield waits
    took, bound, name = max(waits, key=lambda wait: wait[0] / wait[1])
    show(f"{len(waits)} answers, nearest to its bound: {took:.2f} s of {bound:.2f} s, {name}")


def ask(client: httpx2.Client, service: str, token: str = GOOD_TOKEN) -> int:
    """The status for a token: one of three, as a problem document that shows nothing of keys."""
    headers = {"Authorization": f"Bearer {token}"}
    response = client.get(f"{service}/api/v1/tasks", headers=headers)
    if response.status_code == 401:
        problem(response, 401, "invalid_token")
    elif response.status_code != 200:
        problem(response, 503, "auth_unavailable")
    for repeated in (CANARY, GOOD.kid, GOOD.jwk["x"]):
        assert repeated not in f"{response.headers} {response.text}"
    return response.status_code


SAID = re.compile(
    r"the key set at http://127\.0\.0\.1:\d+/[a-z/]* is not usable: "
    r"(it answers with status \d+: [a-zA-Z_ ,:']+|it redirects \(\d+\); [a-z ;:]+"
    r"|it sends more than \d+ bytes: is that the right address\?|it did not answer within [\d.]+ s: [a-z ]+"
    r"|it broke off \([A-Z][A-Za-z]+\): [a-z ]+|nothing listens there: [a-z ,]+"
    r"|more than \d+ keys|no JSON|no list of keys)"
    r"|the key set was fetched; usable keys: \d+; refused: (0|\d+ [a-z' ]+(, \d+ [a-z' ]+)*)"
)


@pytest.mark.proves("FR-008", "FR-009", "SC-002", "EDGE-6")
@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_a_token_gets_the_right_answer_in_time_whatever_the_endpoint_does(
    mode: Mode,
    stages: dict[float, Stage],
    client: httpx2.Client,
    waits: list[tuple[float, float, str]],
    caplog: pytest.LogCaptureFixture,
    request: pytest.FixtureRequest,
) -> None:
    """Without known keys, after the endpoint recovered, and with known keys that are refreshed."""
    caplog.set_level(logging.DEBUG, "tasks_backend")
    endpoint, service = stages[mode.timeout]

    def answered(token: str = GOOD_TOKEN) -> int:
        began = time.monotonic()
        status = ask(client, service, token)
        waits.append((time.monotonic() - began, 2 * mode.timeout + SLACK, request.node.name))
        assert waits[-1][0] < waits[-1][1]
        return status

    endpoint.behaviour = EMPTY
    until(lambda: answered(Signer().token(SUB)) == 401)
    endpoint.behaviour = mode.behaviour
    assert answered(mode.token) == mode.cold

    endpoint.behaviour = answer(KEYS)
    until(lambda: answered() == 200)

    endpoint.behaviour, before = mode.behaviour, endpoint.connections
    while endpoint.connections < before + 2:  # the second fetch begins after the first
        assert answered() in {200, mode.warm}
    assert answered() == mode.warm
    assert answered(mode.token) == mode.warm
    for record in caplog.records:
        if record.name != "tasks_backend.requests":
            assert SAID.fullmatch(record.getMessage()), record.getMessage()


@pytest.mark.parametrize("name", WORTH_REFUSING)
@pytest.mark.filterwarnings("ignore:The RSA key is 1024 bits")
def test_each_refused_key_would_verify_its_token(name: str) -> None:
    """For the members that PyJWT and cryptography accept: the refusal is the service's."""
    refused = REFUSED[name]
    key = jwt.PyJWK(refused.members[-1])  # type: ignore[arg-type] # these are objects
    claims = jwt.decode(refused.token, key, [key.algorithm_name], audience=AUDIENCE)
    assert claims["sub"] == SUB


@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_member_does_not_affect_other_keys(name: str) -> None:
    spoilt = under_another_id(REFUSED[name], "another")
    for order in ([*spoilt, GOOD.jwk], [GOOD.jwk, *spoilt]):
        body = json.dumps({"keys": order}).encode()
        found = parse_key_set(body, ("EdDSA", "ES256", "RS256"))
        assert set(found.keys) - {OTHER.kid} == {GOOD.kid}
        assert found.refused.total() + len(found.keys) == len(order)


def stranger() -> str:
    """A well-formed token with a key id that is not published."""
    return OTHER.token(SUB, header={"kid": secrets.token_urlsafe(24)})


def storm(service: str, tokens: Iterable[str], at_once: int) -> Counter[int]:
    """Send a request for each token, some of them at once, and count the answers."""

    async def send_all() -> Counter[int]:
        left = iter(tokens)
        async with httpx2.AsyncClient(base_url=service, timeout=60) as client:

            async def send() -> Counter[int]:
                statuses: Counter[int] = Counter()
                for token in left:
                    headers = {"Authorization": f"Bearer {token}"}
                    response = await client.get("/api/v1/tasks", headers=headers)
                    statuses[response.status_code] += 1
                return statuses

            return sum(await asyncio.gather(*(send() for _ in range(at_once))), Counter())

    return asyncio.run(send_all())


@pytest.mark.proves("FR-008", "EDGE-6")
def test_an_endpoint_down_at_the_start_is_used_once_it_is_up(
    settings: Settings, client: httpx2.Client
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    with service_with_keys_at(f"http://127.0.0.1:{port}/api/auth/jwks", settings) as service:
        ready = client.get(f"{service}/readyz")
        assert (ready.status_code, ready.json()["keys"]) == (200, False)
        assert ask(client, service) == 503
        with KeyServer(json_answer(KEYS), port):
            until(lambda: ask(client, service) == 200)
        assert client.get(f"{service}/readyz").json()["keys"] is True


def test_keys_stay_known_while_the_endpoint_is_down(
    settings: Settings, client: httpx2.Client, caplog: pytest.LogCaptureFixture
) -> None:
    """Each kind of outage is logged once, however often it occurs."""
    with ExitStack() as stack:
        server = KeyServer(json_answer(KEYS))
        with server:
            service = stack.enter_context(service_with_keys_at(server.url, settings))
            assert ask(client, service) == 200
            server.answer = failing_answer
            while server.requests < 10:
                assert ask(client, service) == 200
        until(lambda: ask(client, service) == 200 and "nothing listens" in caplog.text)
        assert ask(client, service) == 200
        assert ask(client, service, stranger()) == 503
    told = [
        record.getMessage()
        for record in caplog.records
        if record.name == "tasks_backend.auth" and "broke off" not in record.getMessage()
    ]  # the end of the endpoint may break off a fetch
    reasons = (
        "it answers with status 500: check the log of the auth server",
        "nothing listens there: start the auth server, or correct the address",
    )
    assert told == [f"the key set at {server.url} is not usable: {reason}" for reason in reasons]


def test_known_keys_expire_during_a_long_outage(settings: Settings, client: httpx2.Client) -> None:
    with (
        KeyServer(json_answer(KEYS)) as server,
        service_with_keys_at(server.url, settings, jwks_max_age=0.5) as service,
    ):
        until(lambda: ask(client, service) == 200)
        server.answer = failing_answer
        until(lambda: ask(client, service) == 503)
        server.answer = json_answer(KEYS)
        until(lambda: ask(client, service) == 200)


def test_a_retired_key_is_refused(settings: Settings, client: httpx2.Client) -> None:
    with (
        KeyServer(json_answer(key_set(GOOD, OTHER))) as server,
        service_with_keys_at(server.url, settings) as service,
    ):
        assert ask(client, service) == 200
        server.answer = json_answer(key_set(OTHER))
        until(lambda: ask(client, service) == 401)
        assert ask(client, service, OTHER.token(SUB)) == 200


@pytest.mark.proves("FR-008", "FR-009")
@pytest.mark.parametrize("algorithm", ["EdDSA", "ES256", "RS256"])
def test_a_reused_key_id_leads_to_a_new_fetch(
    algorithm: str, settings: Settings, client: httpx2.Client
) -> None:
    """Serial ids start again at 1 when Better Auth gets a new database."""
    old, new = Signer(kid="1"), Signer(algorithm, kid="1")
    with (
        KeyServer(json_answer(key_set(old))) as server,
        service_with_keys_at(server.url, settings, jwks_refresh_after=3600.0) as service,
    ):
        until(lambda: ask(client, service, old.token(SUB)) == 200)
        released = Event()
        server.answer = held_answer(json_answer(key_set(new)), released)
        asked = server.requests
        assert ask(client, service, new.token(SUB)) == 401, "nobody waits"
        until(lambda: server.requests > asked)
        released.set()
        until(lambda: ask(client, service, new.token(SUB)) == 200)
        assert ask(client, service, old.token(SUB)) == 401


@pytest.mark.proves("EDGE-9")
def test_many_forged_signatures_cause_few_fetches(
    settings: Settings, client: httpx2.Client
) -> None:
    cooldown = 0.25
    forged = Signer(kid=GOOD.kid).token(SUB)
    often = {"jwks_cooldown": cooldown, "jwks_refresh_after": 3600.0}
    with (
        KeyServer(json_answer(KEYS)) as server,
        service_with_keys_at(server.url, settings, **often) as service,
    ):
        assert ask(client, service) == 200
        began, before = time.monotonic(), server.requests
        statuses = storm(service, (forged for _ in range(1000)), at_once=20)
        took, fetches = time.monotonic() - began, server.requests - before
        assert ask(client, service) == 200
    assert set(statuses) == {401}
    assert fetches <= took / cooldown + 1
    show(f"1,000 forged signatures: {fetches} fetches in {took:.2f} s")


def test_an_empty_set_refuses_and_is_filled_later(
    settings: Settings, client: httpx2.Client
) -> None:
    """Better Auth serves one after an idle month, and creates a key when it next signs."""
    with (
        KeyServer(json_answer(key_set())) as server,
        service_with_keys_at(server.url, settings) as service,
    ):
        assert ask(client, service) == 401
        assert client.get(f"{service}/readyz").status_code == 200
        server.answer = json_answer(KEYS)
        until(lambda: ask(client, service) == 200)


@pytest.mark.proves("FR-008", "FR-009")
def test_a_new_key_is_never_refused_among_many_unknown_ids(
    settings: Settings, client: httpx2.Client
) -> None:
    """Fetches are slow, so most keys are published while an older answer is in transit."""

    def slow_answer(signer: Signer) -> Answer:
        def answer(request: BaseHTTPRequestHandler) -> None:
            time.sleep(0.03)
            json_answer(key_set(signer))(request)

        return answer

    over = Event()
    room = {"jwks_timeout": PATIENT, "max_concurrent_requests": 8 * 60}  # for all to wait
    with (
        KeyServer(slow_answer(GOOD)) as server,
        service_with_keys_at(server.url, settings, **room) as service,
        ThreadPoolExecutor(1) as background,
    ):
        tokens = iter(lambda: None if over.is_set() else stranger(), None)
        storming = background.submit(storm, service, tokens, 50)
        try:
            until(lambda: server.requests > 1)
            for _ in range(10):
                signer = Signer()
                server.answer = slow_answer(signer)
                assert ask(client, service, signer.token(SUB)) == 200
        finally:
            over.set()
        statuses = storming.result(60)
    assert set(statuses) == {401}
    show(f"10 rotations in a storm of {statuses.total()} unknown ids: {server.requests} fetches")


@pytest.mark.parametrize(("endpoint", "status"), [("healthy", 401), ("down", 503)])
def test_many_unknown_ids_cause_few_fetches(
    endpoint: str, status: int, settings: Settings, client: httpx2.Client
) -> None:
    cooldown = 0.25
    room = {"jwks_cooldown": cooldown, "max_concurrent_requests": 8 * 100}  # for all to wait
    with (
        KeyServer(json_answer(KEYS)) as server,
        service_with_keys_at(server.url, settings, **room) as service,
    ):
        assert ask(client, service) == 200
        server.answer = json_answer(KEYS) if endpoint == "healthy" else failing_answer
        began, before = time.monotonic(), server.requests
        statuses = storm(service, (stranger() for _ in range(1000)), at_once=100)
        took, fetches = time.monotonic() - began, server.requests - before
        assert ask(client, service) == 200
    assert set(statuses) == {status}
    assert fetches <= took / cooldown + 1
    show(f"1,000 unknown ids, endpoint {endpoint}: {fetches} fetches in {took:.2f} s")


@pytest.mark.proves("FR-018", "EDGE-9")
def test_a_flood_of_unknown_key_ids_does_not_affect_known_keys(settings: Settings) -> None:
    """320 a second, long before the next fetch, so that as many requests wait as may."""
    far = {"jwks_cooldown": 300.0, "jwks_refresh_after": 3600.0}
    seconds, rate = 3, 320

    async def flood_and_send(service: str) -> tuple[Counter[str], Counter[int]]:
        each_its_own = httpx2.Limits(max_connections=None, max_keepalive_connections=0)
        async with (
            httpx2.AsyncClient(base_url=service, timeout=60, limits=each_its_own) as attacker,
            httpx2.AsyncClient(base_url=service, timeout=60, limits=each_its_own) as user,
        ):

            async def attack() -> str:
                headers = {"Authorization": f"Bearer {stranger()}"}
                return str((await attacker.get("/api/v1/tasks", headers=headers)).json()["code"])

            async def ask() -> int:
                headers = {"Authorization": f"Bearer {GOOD_TOKEN}"}
                return (await user.get("/api/v1/tasks", headers=headers)).status_code

            attacks, answers = [], Counter[int]()
            for _ in range(seconds * rate // 32):
                attacks += [asyncio.create_task(attack()) for _ in range(32)]
                answers[await ask()] += 1
                await asyncio.sleep(32 / rate)
            answers.update(await asyncio.gather(*(ask() for _ in range(20))))
            return Counter(await asyncio.gather(*attacks)), answers

    with KeyServer(json_answer(KEYS)) as server:
        app = create_app(settings.model_copy(update={**far, "jwks_url": server.url}))
        with served(app) as service, httpx2.Client(timeout=60) as client:
            assert ask(client, service) == 200
            refused, answers = asyncio.run(flood_and_send(service))
            until(lambda: app.state.key_set.waiting == 0)
    assert set(answers) == {200}, answers
    assert set(refused) == {"auth_unavailable"}, refused
    show(f"{refused.total()} made-up key ids beside {answers.total()} honest requests: 0 refused")


def test_known_keys_do_not_wait_for_a_hanging_endpoint(
    settings: Settings, client: httpx2.Client
) -> None:
    """Except once for each fetch, for at most a second.

    Two services take turns, so that noise of the machine affects both.
    """
    times: dict[str, list[float]] = {"hangs": [], "answers": []}
    with ExitStack() as stack:
        endpoints = {name: stack.enter_context(HostileEndpoint(answer(KEYS))) for name in times}
        services = {
            name: stack.enter_context(
                service_with_keys_at(
                    endpoint.url, settings, jwks_timeout=PATIENT, jwks_cooldown=0.25
                )
            )
            for name, endpoint in endpoints.items()
        }
        for service in services.values():
            assert ask(client, service) == 200
        endpoints["hangs"].behaviour = silent()
        for _ in range(500):
            for name, service in services.items():
                began = time.perf_counter()
                assert ask(client, service) == 200
                times[name].append(time.perf_counter() - began)
        assert endpoints["hangs"].connections > 1
    for name, took in times.items():
        percentiles = statistics.quantiles(took, n=100)
        p50, p99 = 1000 * percentiles[49], 1000 * percentiles[98]
        show(f"known key, endpoint {name}: p50 {p50:.2f} ms, p99 {p99:.2f} ms of {len(took)}")
    assert max(times["hangs"]) < PATIENT
