"""Hostile tokens and hostile Authorization headers, byte for byte, against the running service.

Every signature is really made. Each refusal is held against the one shape of a failure and one of
the three challenges, and neither the answer nor the log may repeat anything of what was sent.
"""

import base64
import json
import logging
import socket
import time
import uuid
import zlib
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from http.client import HTTPResponse
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from support.forgery import (
    Forger,
    base64url,
    der,
    from_base64url,
    pem,
    public_key,
    segment,
    with_literals,
    with_stray_bits,
)
from support.key_server import KeyServer, json_answer
from support.service import problem, served
from support.signing import ISSUER, Signer, key_set
from tasks_backend import Settings, create_app
from tasks_backend.auth.keys import DEVELOPMENT_PREFIX
from tasks_backend.auth.tokens import LEEWAY

TASKS = "/api/v1/tasks"
AUDIENCE = "https://tasks.example.com"  # unlike the issuer, so that neither passes for the other
MAX_BYTES = 8 * 1024
MAX_LIFETIME = 30 * 86_400
ALGORITHMS = ("EdDSA", "ES256", "ES512", "RS256", "PS256")
CHALLENGES = {
    "missing_token": 'Bearer realm="tasks_backend"',
    "invalid_token": (
        'Bearer realm="tasks_backend", error="invalid_token", '
        'error_description="The token is not valid"'
    ),
    "expired_token": (
        'Bearer realm="tasks_backend", error="invalid_token", '
        'error_description="The token has expired"'
    ),
}

Forge = Callable[[Forger], str]
Refuse = Callable[[bytes, str, int, str], None]


def group(status: int, code: str, cases: Mapping[str, object]) -> list[Any]:
    return [pytest.param(case, status, code, id=name) for name, case in cases.items()]


@pytest.fixture(scope="module")
def forger() -> Forger:
    trusted = {name: Signer(name) for name in ALGORITHMS}
    trusted["serial"] = Signer(kid="7")
    trusted["longest id"] = Signer(kid="~ {}/" + "k" * 123)
    return Forger(AUDIENCE, trusted)


@pytest.fixture(scope="module")
def development() -> Signer:
    """The development issuer's key, which the endpoint publishes by mistake."""
    return Signer(kid=f"{DEVELOPMENT_PREFIX}0123456789abcdef")


@pytest.fixture(scope="module")
def service(settings: Settings, forger: Forger, development: Signer) -> Iterator[str]:
    """The base URL of a service that trusts keys of every kind."""
    with KeyServer(json_answer(key_set(*forger.trusted.values(), development))) as keys:
        changed = {
            "jwks_url": keys.url,
            "jwks_cooldown": 0.02,  # seconds that a key nobody published costs its test
            "jwt_audience": AUDIENCE,
            "jwt_max_lifetime": float(MAX_LIFETIME),
        }
        with served(create_app(settings.model_copy(update=changed))) as url:
            yield url


@pytest.fixture
def trap(forger: Forger) -> Iterator[KeyServer]:
    """An address that a token names; it would serve the stranger's keys."""
    with KeyServer(json_answer(key_set(*forger.stranger.values()))) as server:
        yield server


@pytest.fixture
def refuse(service: str, caplog: pytest.LogCaptureFixture) -> Refuse:
    """Sends a request and holds what comes of it against all that a refusal promises."""
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "tasks_backend")

    def refused(request: bytes, credential: str, status: int, code: str) -> None:
        response = exchange(service, request)
        problem(response, status, code)
        assert response.headers.get("www-authenticate") == CHALLENGES.get(code)
        seen = f"{response.headers}\n{response.text}\n{caplog.text}"
        for trace in traces(credential):
            assert trace not in seen

    return refused


def exchange(service: str, request: bytes) -> httpx2.Response:
    """The answer to exactly these bytes."""
    with connected(service) as connection:
        connection.sendall(request)
        return answer(connection)


def connected(service: str) -> socket.socket:
    address = urlsplit(service)
    return socket.create_connection((address.hostname, address.port), timeout=30)


def answer(connection: socket.socket) -> httpx2.Response:
    with HTTPResponse(connection) as response:
        response.begin()
        return httpx2.Response(
            response.status, headers=response.getheaders(), content=response.read()
        )


def get(*fields: bytes, target: bytes = TASKS.encode()) -> bytes:
    return b"\r\n".join([b"GET " + target + b" HTTP/1.1", b"Host: tasks", *fields, b"", b""])


def bearing(token: str) -> bytes:
    return get(b"Authorization: Bearer " + token.encode())


def traces(credential: str) -> Iterator[str]:
    """What would give a credential away: its parts, and every text inside its first two."""
    parts = [part for part in credential.split(".") if len(part) >= 8]
    for part in parts:
        yield part[:16]
    for part in parts[:2]:
        try:
            yield from texts(json.loads(from_base64url(part)))
        except (ValueError, RecursionError):
            pass  # no JSON: then it has no texts


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, str) and len(value) >= 6:  # shorter ones are in everything
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from texts(item)


def with_token(template: bytes, token: str) -> bytes:
    return template.replace(b"TOKEN", token.encode())


# --- The Authorization header -----------------------------------------------------------------

NO_CREDENTIAL = {
    "no header": b"X-Nothing: to see",
    "an empty value": b"Authorization:",
    "spaces": b"Authorization:     ",
    "a tab": b"Authorization:\t",
    "the scheme alone": b"Authorization: Bearer",
    "the scheme and a space": b"Authorization: Bearer ",
    "the scheme and spaces": b"Authorization: Bearer     ",
    "the scheme and a tab": b"Authorization: Bearer\t",
    "no scheme": b"Authorization: TOKEN",
    "Basic": b"Authorization: Basic dXNlcjpwYXNzd29yZA==",
    "Basic with a token": b"Authorization: Basic TOKEN",
    "Digest": b'Authorization: Digest username="alice", response="TOKEN"',
    "DPoP": b"Authorization: DPoP TOKEN",
    "Token": b"Authorization: Token TOKEN",
    "JWT": b"Authorization: JWT TOKEN",
    "ApiKey": b"Authorization: ApiKey TOKEN",
    "Negotiate": b"Authorization: Negotiate TOKEN",
    "AWS4-HMAC-SHA256": b"Authorization: AWS4-HMAC-SHA256 Credential=TOKEN",
    "a longer word": b"Authorization: Bearers TOKEN",
    "a shorter word": b"Authorization: Beare TOKEN",
    "glued to the token": b"Authorization: BearerTOKEN",
    "a colon after the scheme": b"Authorization: Bearer: TOKEN",
    "an equals sign after the scheme": b"Authorization: Bearer=TOKEN",
    "a comma after the scheme": b"Authorization: Bearer, TOKEN",
    "a quoted scheme": b'Authorization: "Bearer" TOKEN',
    "a comma before the scheme": b"Authorization: , Bearer TOKEN",
    "an escaped space": b"Authorization: Bearer%20TOKEN",
    "a plus for the space": b"Authorization: Bearer+TOKEN",
    "a tab for the space": b"Authorization: Bearer\tTOKEN",
    "0x85 for the space": b"Authorization: Bearer\x85TOKEN",
    "0xA0 for the space": b"Authorization: Bearer\xa0TOKEN",
    "U+2003 for the space": b"Authorization: Bearer\xe2\x80\x83TOKEN",
    "0x85 before the scheme": b"Authorization: \x85Bearer TOKEN",
    "0xA0 before the scheme": b"Authorization: \xa0Bearer TOKEN",
    "a byte order mark before the scheme": b"Authorization: \xef\xbb\xbfBearer TOKEN",
    "a Cyrillic e in the scheme": b"Authorization: B\xd0\xb5arer TOKEN",
    "a scheme in full-width letters": "Authorization: Ｂｅａｒｅｒ TOKEN".encode(),  # noqa: RUF001 - the point
    "the token among Basic's": b"Authorization: Basic dXNlcjpwYXNz, Bearer TOKEN",
}

NOT_ONE_CREDENTIAL = {
    "two headers": b"Authorization: Bearer TOKEN\r\nAuthorization: Bearer TOKEN",
    "a good header, then a bad one": b"Authorization: Bearer TOKEN\r\nAuthorization: Bearer x.y.z",
    "a bad header, then a good one": b"Authorization: Bearer x.y.z\r\nAuthorization: Bearer TOKEN",
    "an empty header, then a good one": b"Authorization:\r\nAuthorization: Bearer TOKEN",
    "a good header, then an empty one": b"Authorization: Bearer TOKEN\r\nAuthorization:",
    "Basic, then a good header": b"Authorization: Basic dTpw\r\nAuthorization: Bearer TOKEN",
    "two headers in other letters": b"AUTHORIZATION: Bearer TOKEN\r\nauthorization: Bearer TOKEN",
    "three headers": b"\r\n".join([b"Authorization: Bearer TOKEN"] * 3),
    "two empty headers": b"Authorization:\r\nAuthorization:",
    "two tokens": b"Authorization: Bearer TOKEN TOKEN",
    "two tokens and a comma": b"Authorization: Bearer TOKEN,TOKEN",
    "two credentials": b"Authorization: Bearer TOKEN, Bearer TOKEN",
    "the scheme twice": b"Authorization: Bearer Bearer TOKEN",
    "another scheme's after it": b"Authorization: Bearer TOKEN, Basic dXNlcjpwYXNz",
    "a parameter": b"Authorization: Bearer token=TOKEN",
    "a parameter after it": b'Authorization: Bearer TOKEN, realm="tasks_backend"',
    "quotes": b'Authorization: Bearer "TOKEN"',
    "angle brackets": b"Authorization: Bearer <TOKEN>",
    "a semicolon": b"Authorization: Bearer TOKEN;",
    "a comma": b"Authorization: Bearer TOKEN,",
    "a tab before it": b"Authorization: Bearer \tTOKEN",
    "a tab within it": b"Authorization: Bearer x\tTOKEN",
    "0x85 before it": b"Authorization: Bearer \x85TOKEN",
    "0x85 after it": b"Authorization: Bearer TOKEN\x85",
    "0xA0 before it": b"Authorization: Bearer \xa0TOKEN",
    "0xA0 after it": b"Authorization: Bearer TOKEN\xa0",
    "0xFF after it": b"Authorization: Bearer TOKEN\xff",
    "a zero-width space after it": b"Authorization: Bearer TOKEN\xe2\x80\x8b",
    "an ideographic space after it": b"Authorization: Bearer TOKEN\xe3\x80\x80",
    "a byte order mark before it": b"Authorization: Bearer \xef\xbb\xbfTOKEN",
    "only 0xA0": b"Authorization: Bearer \xa0",
    "an escaped line break": b"Authorization: Bearer TOKEN%0D%0A",
}

NO_HTTP = {
    "NUL after it": b"Authorization: Bearer TOKEN\x00",
    "0x0B before it": b"Authorization: Bearer \x0bTOKEN",
    "0x1F before it": b"Authorization: Bearer \x1fTOKEN",
    "0x1F after it": b"Authorization: Bearer TOKEN\x1f",
    "0x7F after it": b"Authorization: Bearer TOKEN\x7f",
    "a folded line": b"Authorization: Bearer\r\n TOKEN",
    "a line folded with a tab": b"Authorization: Bearer\r\n\tTOKEN",
    "an empty folded line": b"Authorization: Bearer TOKEN\r\n ",
    "a bare line feed": b"Authorization: Bearer TOKEN\nX-Next: field",
    "a bare carriage return": b"Authorization: Bearer TOKEN\rX-Next: field",
    "a space before the colon": b"Authorization : Bearer TOKEN",
    "a space before the name": b" Authorization: Bearer TOKEN",
}

SPELLINGS = {
    "as everybody does": b"Authorization: Bearer TOKEN",
    "lower case": b"authorization: bearer TOKEN",
    "upper case": b"AUTHORIZATION: BEARER TOKEN",
    "mixed case": b"aUtHoRiZaTiOn: bEaReR TOKEN",
    "no space after the colon": b"Authorization:Bearer TOKEN",
    "spaces after the colon": b"Authorization:    Bearer TOKEN",
    "a tab after the colon": b"Authorization:\tBearer TOKEN",
    "spaces after the scheme": b"Authorization: Bearer     TOKEN",
    "spaces at the end": b"Authorization: Bearer TOKEN   ",
    "a tab at the end": b"Authorization: Bearer TOKEN\t",
    "beside what is not looked at": b"Cookie: jwt=x.y.z\r\nAuthorization: Bearer TOKEN",
}


@pytest.mark.proves("FR-008", "FR-009", "SC-002", "EDGE-3")
@pytest.mark.parametrize(("fields", "status", "code"), group(401, "missing_token", NO_CREDENTIAL))
def test_without_a_bearer_token_the_challenge_names_no_error(
    refuse: Refuse, forger: Forger, fields: bytes, status: int, code: str
) -> None:
    token = forger.token()
    refuse(get(with_token(fields, token)), token, status, code)


@pytest.mark.proves("FR-009", "SC-002", "EDGE-6")
@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [*group(401, "invalid_token", NOT_ONE_CREDENTIAL), *group(400, "bad_request", NO_HTTP)],
)
def test_a_good_token_counts_only_as_the_one_credential(
    refuse: Refuse, forger: Forger, fields: bytes, status: int, code: str
) -> None:
    token = forger.token()
    refuse(get(with_token(fields, token)), token, status, code)


@pytest.mark.proves("FR-008")
@pytest.mark.parametrize("fields", SPELLINGS.values(), ids=SPELLINGS)
def test_a_header_counts_in_every_spelling_that_http_allows(
    service: str, forger: Forger, fields: bytes
) -> None:
    response = exchange(service, get(with_token(fields, forger.token())))
    assert response.status_code == 200, response.text


def post(content_type: bytes, body: bytes) -> bytes:
    lines = [b"Content-Type: " + content_type, b"Content-Length: %d" % len(body), b"", body]
    return b"POST /api/v1/tasks HTTP/1.1\r\nHost: tasks\r\n" + b"\r\n".join(lines)


def elsewhere(template: str) -> Callable[[bytes], bytes]:
    """A request with the token in a field of its own, or in its target."""
    name, _, rest = template.partition(" ")
    if name == "GET":
        return lambda token: get(target=rest.encode().replace(b"TOKEN", token))
    return lambda token: get(template.encode().replace(b"TOKEN", token))


ELSEWHERE = {
    **{
        template.partition(" TOKEN")[0].replace("TOKEN", "it"): elsewhere(template)
        for template in (
            "GET /api/v1/tasks?access_token=TOKEN",
            "GET /api/v1/tasks?token=TOKEN",
            "GET /api/v1/tasks?Authorization=Bearer%20TOKEN",
            "GET http://TOKEN@tasks/api/v1/tasks",
            "Cookie: access_token=TOKEN",
            "Cookie: Authorization=Bearer TOKEN",
            "Cookie: better-auth.session_token=TOKEN",
            "Cookie: __Secure-better-auth.session_data=TOKEN",
            "Authentication: Bearer TOKEN",
            "Authorization_: Bearer TOKEN",
            "X-Authorization: Bearer TOKEN",
            "X-Forwarded-Authorization: Bearer TOKEN",
            "X-Original-Authorization: Bearer TOKEN",
            "Proxy-Authorization: Bearer TOKEN",
            "HTTP_AUTHORIZATION: Bearer TOKEN",
            "X-Access-Token: TOKEN",
            "X-Auth-Token: TOKEN",
            "X-Api-Key: TOKEN",
            "set-auth-jwt: TOKEN",
            "Sec-WebSocket-Protocol: bearer, TOKEN",
        )
    },
    "a form": lambda token: post(
        b"application/x-www-form-urlencoded", b"access_token=" + token + b"&title=x"
    ),
    "a JSON body": lambda token: post(
        b"application/json", b'{"title": "x", "access_token": "' + token + b'"}'
    ),
    "a trailer": lambda token: (
        get(b"Transfer-Encoding: chunked") + b"0\r\nAuthorization: Bearer " + token + b"\r\n\r\n"
    ),
}


@pytest.mark.proves("FR-008", "SC-002", "EDGE-3")
@pytest.mark.parametrize(("request_with", "status", "code"), group(401, "missing_token", ELSEWHERE))
def test_a_token_elsewhere_is_not_looked_at(
    refuse: Refuse,
    forger: Forger,
    request_with: Callable[[bytes], bytes],
    status: int,
    code: str,
) -> None:
    token = forger.token()
    refuse(request_with(token.encode()), token, status, code)


# --- Size and form ----------------------------------------------------------------------------

SIZES: dict[str, Forge] = {
    "one character too long": lambda f: f.of_length(MAX_BYTES + 1),
    "ten times too long": lambda f: f.of_length(10 * MAX_BYTES),
    "a long signature": lambda f: f.token() + "A" * MAX_BYTES,
    "a long key id": lambda f: f.token(header={"kid": "k" * 10_000}),
    "no token at all, but long": lambda _: "A" * 256 * 1024,
    "nothing but dots": lambda _: "." * MAX_BYTES,
}


def spelled(template: str) -> Forge:
    """A good token taken apart, and put together as the template says."""

    def forge(forger: Forger) -> str:
        header, payload, signature = forger.token().split(".")
        return (
            template.replace("HEADER", header)
            .replace("PAYLOAD", payload)
            .replace("SIGNATURE", signature)
        )

    return forge


def in_the_standard_alphabet(forger: Forger) -> str:
    while True:
        token = forger.token()
        if {"-", "_"} <= set(token):
            return token.replace("-", "+").replace("_", "/")


def with_stray_bits_in_a_signed_segment(forger: Forger, at: int) -> str:
    parts = ["", ""]
    while len(parts[at]) % 4 not in {2, 3}:
        pad = b" " * len(parts[at])
        parts = [
            segment(json.dumps(part).encode() + pad) for part in (forger.header(), forger.claims())
        ]
    parts[at] = with_stray_bits(parts[at])
    return forger.sealed(parts[0], parts[1], forger.trusted["EdDSA"])


FORMS: dict[str, Forge] = {
    "one part": spelled("HEADER"),
    "two parts": spelled("HEADER.PAYLOAD"),
    "two parts and a dot": spelled("HEADER.PAYLOAD."),
    "a dot before": spelled(".HEADER.PAYLOAD.SIGNATURE"),
    "a dot after": spelled("HEADER.PAYLOAD.SIGNATURE."),
    "two dots": spelled("HEADER..PAYLOAD.SIGNATURE"),
    "no header": spelled(".PAYLOAD.SIGNATURE"),
    "no payload": spelled("HEADER..SIGNATURE"),
    "only dots": spelled(".."),
    "four parts": spelled("HEADER.PAYLOAD.SIGNATURE.SIGNATURE"),
    "five parts": spelled("HEADER.PAYLOAD.SIGNATURE.SIGNATURE.SIGNATURE"),
    "an encrypted token": lambda _: ".".join(
        [
            segment({"alg": "dir", "enc": "A256GCM"}),
            "",
            *(base64url(b"x" * n) for n in (12, 64, 16)),
        ]
    ),
    "flattened JSON": spelled('{"payload":"PAYLOAD","protected":"HEADER","signature":"SIGNATURE"}'),
    "general JSON": spelled(
        '{"payload":"PAYLOAD","signatures":[{"protected":"HEADER","signature":"SIGNATURE"}]}'
    ),
    "parts in another order": spelled("PAYLOAD.HEADER.SIGNATURE"),
    "the header padded": spelled("HEADER=.PAYLOAD.SIGNATURE"),
    "the payload padded": spelled("HEADER.PAYLOAD=.SIGNATURE"),
    "the signature padded": spelled("HEADER.PAYLOAD.SIGNATURE=="),
    "the signature padded too much": spelled("HEADER.PAYLOAD.SIGNATURE===="),
    "a space between": spelled("HEADER .PAYLOAD.SIGNATURE"),
    "a space within": spelled("HEADER.PAYLOAD. SIGNATURE"),
    "a comma for a dot": spelled("HEADER,PAYLOAD,SIGNATURE"),
    "an escaped dot": spelled("HEADER%2EPAYLOAD%2ESIGNATURE"),
    "an ideographic full stop": spelled("HEADER。PAYLOAD。SIGNATURE"),
    "the standard alphabet": in_the_standard_alphabet,
    "Arabic-Indic digits": spelled("HEADER.PAYLOAD.SIGNATURE٣"),
    "full-width letters": spelled("HEADER.PAYLOAD.SIGNATUREＡ"),  # noqa: RUF001 - the point
    "junk that lenient readers skip": spelled("HEADER.PAYLOAD.SIGN!ATURE"),
    "junk after the signature": spelled("HEADER.PAYLOAD.SIGNATURE*"),
    "a signature of an impossible length": spelled("HEADER.PAYLOAD.SIGNATUREAAA"),
    "a header of an impossible length": spelled("A.PAYLOAD.SIGNATURE"),
    "stray bits in the signature": lambda f: with_stray_bits(f.token()),
    "stray bits in the header": lambda f: with_stray_bits_in_a_signed_segment(f, 0),
    "stray bits in the payload": lambda f: with_stray_bits_in_a_signed_segment(f, 1),
    "hexadecimal": lambda f: ".".join(part.encode().hex() for part in f.token().split(".")),
    "encoded twice": lambda f: base64url(f.token().encode()),
    "null": lambda _: "null",
    "undefined": lambda _: "undefined",
    "an object in JavaScript": lambda _: "[object Object]",
    "a session token of Better Auth's": lambda _: "IzYl0a9Bc8De7Fg6Hi5Jk4Lm3No2Pq1R",
    "a signed session cookie": lambda _: "IzYl0a9Bc8De7Fg6Hi5Jk4Lm3No2Pq1R.c2lnbmF0dXJl%3D",
    "a PASETO": lambda _: f"v4.public.{'A' * 120}",
    "a UUID": lambda _: str(uuid.UUID(int=1)),
}


@pytest.mark.proves("FR-009", "SC-002", "EDGE-6")
@pytest.mark.parametrize(
    ("forge", "status", "code"), group(401, "invalid_token", {**SIZES, **FORMS})
)
def test_only_the_compact_form_of_moderate_size_is_a_token(
    refuse: Refuse, forger: Forger, forge: Forge, status: int, code: str
) -> None:
    token = forge(forger)
    refuse(bearing(token), token, status, code)


# --- The header of a token --------------------------------------------------------------------


def header(**members: Any) -> Forge:
    """A trusted token, but for these members of its header."""
    return lambda f: f.token(header=members)


def header_text(text: str, encoding: str = "utf-8") -> Forge:
    """A token with this header as it stands; KID is the id of the key that signs it."""
    return lambda f: f.signed(
        text.replace("KID", f.trusted["EdDSA"].kid).encode(encoding), f.claims()
    )


def header_and(text: str, encoding: str = "utf-8") -> Forge:
    """A token whose header is as it should be, and ends with this text."""
    return header_text('{"alg":"EdDSA","kid":"KID",' + text, encoding)


NO_HEADERS: dict[str, Forge] = {
    "no JSON": header_text("alg=EdDSA&kid=KID"),
    "a list": header_text('[{"alg":"EdDSA","kid":"KID"}]'),
    "a list of pairs": header_text('[["alg","EdDSA"],["kid","KID"]]'),
    "a string": header_text('"EdDSA"'),
    "a number": header_text("1"),
    "true": header_text("true"),
    "null": header_text("null"),
    "an empty object": header_text("{}"),
    "a byte order mark": header_and('"x":1}', "utf-8-sig"),
    "UTF-16": header_and('"x":1}', "utf-16"),
    "UTF-16 without a mark": header_and('"x":1}', "utf-16-le"),
    "UTF-32": header_and('"x":1}', "utf-32"),
    "Latin-1": header_and('"x":"é"}', "latin-1"),
    "surrogates in UTF-8": lambda f: f.signed(
        json.dumps(f.header())[:-1].encode() + b',"x":"\xed\xa0\xbd\xed\xb8\x80"}', f.claims()
    ),
    "an object cut off": header_and('"x":1'),
    "two objects": header_and('"x":1}{}'),
    "single quotes": header_and("'x':1}"),
    "a comma too many": header_and('"x":1,}'),
    "a comment": header_and('"x":1/* hello */}'),
    "NUL at the end": header_and('"x":1}\0'),
    "a raw line break in a string": header_and('"x":"\n"}'),
    "NaN": header_and('"x":NaN}'),
    "Infinity": header_and('"x":-Infinity}'),
    "a number of 4,301 digits": header_and(f'"x":{"9" * 4301}}}'),
    "lists 2,500 deep": header_and(f'"x":{"[" * 2500}{"]" * 2500}}}'),
    "alg twice, none first": header_text('{"alg":"none","alg":"EdDSA","kid":"KID"}'),
    "alg twice, none last": header_and('"alg":"none"}'),
    "alg twice, once escaped": header_and(r'"\u0061lg":"EdDSA"}'),
    "kid twice": header_and('"kid":"KID"}'),
    "a name twice within": header_and('"x":{"y":1,"y":2}}'),
    "names in capitals": header_text('{"ALG":"EdDSA","KID":"KID"}'),
}


@pytest.mark.proves("FR-009", "SC-002", "EDGE-6")
@pytest.mark.parametrize(CASE, group(401, "invalid_token", NO_HEADERS))
def test_a_header_has_one_reading(
    refuse: Refuse, forger: Forger, forge: Forge, status: int, code: str
) -> None:
    token = forge(forger)
    refuse(bearing(token), token, status, code)


NONE = ("none", "None", "NONE", "nOnE", " none", "none ", "none\0", "ｎｏｎｅ")  # noqa: RUF001 - full width
NAMES = (
    *("", "eddsa", "EDDSA", " EdDSA", "EdDSA ", "EdDSA\0", "xxEdDSAxx", "EdDSA,ES256", "Ed25519"),
    *("Ed448", "ES256K", "ES384", "RS384", "RS512", "PS384", "PS512", "HS256", "HS384", "HS512"),
    *(
        "RSA-OAEP",
        "RSA1_5",
        "dir",
        "A128KW",
        "ECDH-ES",
        "PBES2-HS256+A128KW",
        "SHA256",
        "__proto__",
    ),
)
SECRETS: dict[str, Callable[[Signer], bytes]] = {
    "PEM": pem,
    "PEM without its last line break": lambda signer: pem(signer).strip(),
    "DER": der,
    "OpenSSH's form": lambda signer: public_key(signer, Encoding.OpenSSH, PublicFormat.OpenSSH),
    "JWK": lambda signer: json.dumps(signer.jwk).encode(),
    "key set": lambda signer: key_set(signer),
    "id": lambda signer: signer.kid.encode(),
}


def public_secret(by: str, secret: Callable[[Signer], bytes], algorithm: str = "HS256") -> Forge:
    return lambda f: f.keyed(secret(f.trusted[by]), by, algorithm)


def under_the_name(key: str, by: str, algorithm: str | None = None) -> Forge:
    """Really signed, by a trusted key and in a trusted way, under the id of another one."""
    name = algorithm or by
    return lambda f: f.signed(f.header(key, alg=name), f.claims(), by, name)


def signed_as(by: str, algorithm: str) -> Forge:
    """The header names the algorithm that is the key's, the signature is made with another."""
    return lambda f: f.signed(f.header(by), f.claims(), by, algorithm)


CONFUSIONS: dict[str, Forge] = {
    **{f"alg {name!r} over a good signature": header(alg=name) for name in NONE},
    **{f"alg {name!r}": header(alg=name) for name in NAMES},
    "alg none and no signature": lambda f: f.token(header={"alg": "none"}).rpartition(".")[0] + ".",
    "alg null": header(alg=None),
    "alg a number": header(alg=256),
    "alg true": header(alg=True),
    "alg a list": header(alg=["EdDSA"]),
    "alg an object": header(alg={"EdDSA": True}),
    "no alg": header_text('{"kid":"KID"}'),
    **{
        f"HS256 with the {form} of the {by} key": public_secret(by, secret)
        for by in ("EdDSA", "ES256", "RS256")
        for form, secret in SECRETS.items()
    },
    "HS384 with the PEM of the RS256 key": public_secret("RS256", pem, "HS384"),
    "HS512 with the PEM of the RS256 key": public_secret("RS256", pem, "HS512"),
    "HS256 with the raw EdDSA key": public_secret(
        "EdDSA", lambda signer: public_key(signer, Encoding.Raw, PublicFormat.Raw)
    ),
    "HS256 with the EdDSA key as published": public_secret(
        "EdDSA", lambda signer: signer.jwk["x"].encode()
    ),
    "HS256 with the modulus as published": public_secret(
        "RS256", lambda signer: signer.jwk["n"].encode()
    ),
    "HS256 with an empty secret": public_secret("EdDSA", lambda _: b""),
    "HS256 with a usual secret": public_secret("EdDSA", lambda _: b"better-auth-secret"),
    **{
        f"{by} under the id of the {key} key": under_the_name(key, by)
        for by in ALGORITHMS
        for key in ALGORITHMS
        if by != key
    },
    "PS256 with the RS256 key": under_the_name("RS256", "RS256", "PS256"),
    "RS256 with the PS256 key": under_the_name("PS256", "PS256", "RS256"),
    "RS384 with the RS256 key": under_the_name("RS256", "RS256", "RS384"),
    "RS512 with the RS256 key": under_the_name("RS256", "RS256", "RS512"),
    "PS512 with the PS256 key": under_the_name("PS256", "PS256", "PS512"),
    "RS256 signed as PS256": signed_as("RS256", "PS256"),
    "RS256 signed as RS512": signed_as("RS256", "RS512"),
    "PS256 signed as RS256": signed_as("PS256", "RS256"),
    "PS256 signed as PS384": signed_as("PS256", "PS384"),
}


@pytest.mark.proves("FR-009", "SC-002", "EDGE-6")
@pytest.mark.parametrize(CASE, group(401, "invalid_token", CONFUSIONS))
def test_the_algorithm_is_the_keys_and_never_the_tokens_choice(
    refuse: Refuse, forger: Forger, forge: Forge, status: int, code: str
) -> None:
    token = forge(forger)
    refuse(bearing(token), token, status, code)


def like_a_known_id(change: Callable[[str], str]) -> Forge:
    return lambda f: f.token(header={"kid": change(f.trusted["EdDSA"].kid)})


KEY_IDS: dict[str, Forge] = {
    "none": header_text('{"alg":"EdDSA"}'),
    "null": header(kid=None),
    "empty": header(kid=""),
    "a number that is a known id as a text": lambda f: f.token("serial", header={"kid": 7}),
    "true": header(kid=True),
    "a list": lambda f: f.token(header={"kid": [f.trusted["EdDSA"].kid]}),
    "an object": lambda f: f.token(header={"kid": {"kid": f.trusted["EdDSA"].kid}}),
    "unknown": header(kid="xGKlravsHhi3EXhTja5P1QtxMcQviQT1"),
    "another key's": lambda f: f.token(header={"kid": f.trusted["serial"].kid}),
    "a known one cut": like_a_known_id(lambda kid: kid[:-1]),
    "a known one and a letter": like_a_known_id(lambda kid: kid + "x"),
    "a known one in other case": like_a_known_id(str.swapcase),
    "a known one and a space": like_a_known_id(lambda kid: kid + " "),
    "a space and a known one": like_a_known_id(lambda kid: " " + kid),
    "a known one and a line break": like_a_known_id(lambda kid: kid + "\n"),
    "a known one and NUL": like_a_known_id(lambda kid: kid + "\0"),
    "a known one and NUL and more": like_a_known_id(lambda kid: kid + "\0.pem"),
    "a known one twice": like_a_known_id(lambda kid: f"{kid},{kid}"),
    "a relative path": header(kid="../../../../../../dev/null"),
    "an absolute path": header(kid="/etc/passwd"),
    "an address of a file": header(kid="file:///dev/null"),
    "a device of Windows": header(kid="\\\\.\\NUL:secrets"),
    "SQL that is always true": header(kid="x' OR '1'='1"),
    "SQL that brings a key": header(kid="x' UNION SELECT 'known-secret' --"),
    "a command": header(kid="|sleep 30;$(sleep 30)`sleep 30`"),
    "a template": header(kid="{{7*7}}${7*7}#{7*7}"),
    "a format": header(kid="%s%n%x{0.__class__.__mro__}"),
    "a wildcard": header(kid="*)(kid=*"),
    "a prototype": header(kid="__proto__"),
    "DEL": header(kid="key\x7fkey"),
    "a line break and a header": header(kid="key\r\nX-Injected: yes"),
    "beyond ASCII": header(kid="ключ ключ"),
    "an emoji": header(kid="key 🔑 key"),
    "a lone surrogate": header(kid="key \ud800 key"),
    "129 characters": header(kid="k" * 129),
    "5,000 characters": header(kid="k" * 5000),
}


@pytest.mark.proves("FR-009", "SC-002", "EDGE-6")
@pytest.mark.parametrize(CASE, group(401, "invalid_token", KEY_IDS))
def test_a_key_is_known_by_its_exact_id(
    refuse: Refuse, forger: Forger, forge: Forge, status: int, code: str
) -> None:
    token = forge(forger)
    refuse(bearing(token), token, status, code)


EXTENSIONS: dict[str, Forge] = {
    "crit of a known claim": header(crit=["exp"], exp=1),
    "crit of an unknown member": header(crit=["https://example.com/bound"]),
    "crit of b64": header(crit=["b64"], b64=True),
    "crit empty": header(crit=[]),
    "crit null": header(crit=None),
    "crit a string": header(crit="exp"),
    "crit an object": header(crit={"exp": 1}),
    "b64 false and critical": header(crit=["b64"], b64=False),
    "b64 false and critical, no payload": lambda f: f.signed(
        f.header(crit=["b64"], b64=False), b""
    ),
    "b64 false": header(b64=False),
    "b64 true": header(b64=True),
    "b64 null": header(b64=None),
    "zip": header(zip="DEF"),
    "zip and a deflated payload": lambda f: f.signed(
        f.header(zip="DEF"), zlib.compress(json.dumps(f.claims()).encode(), wbits=-15)
    ),
    "zip of a bomb": lambda f: f.signed(
        f.header(zip="DEF"), zlib.compress(b" " * 4_000_000, level=9, wbits=-15)
    ),
    "zip null": header(zip=None),
    "enc": header(enc="A256GCM"),
    "enc null": header(enc=None),
}
TYPES = (
    *("better-auth.session-cache+jwt", "logout+jwt", "dpop+jwt", "secevent+jwt", "id_token+jwt"),
    *("JWE", "JOSE", "JOSE+JSON", "JWT ", " JWT", "JWT\0", "JWT,at+jwt", "at jwt", "at+jwt;v=1"),
    *("", "text/html", "ＪＷＴ"),  # noqa: RUF001 - full width
    *(None, 1, True, ["JWT"], {"JWT": 1}),
)


@pytest.mark.proves("FR-009", "SC-002", "EDGE-6")
@pytest.mark.parametrize(
    CASE,
    [
        *group(401, "invalid_token", EXTENSIONS),
        *group(401, "invalid_token", {f"typ {typ!r}": header(typ=typ) for typ in TYPES}),
    ],
)
def test_what_a_header_demands_or_declares_must_be_known(
    refuse: Refuse, forger: Forger, forge: Forge, status: int, code: str
) -> None:
    """The keys that sign a user's tokens sign session caches and logout notices, too."""
    token = forge(forger)
    refuse(bearing(token), token, status, code)


Lure = Callable[[Forger, str], str]
UNKNOWN = "RtKLravsHhi3EXhTja5P1QtxMcQviQTz"


def certificate(forger: Forger) -> list[str]:
    """A chain of one: the stranger's own word for the stranger's key."""
    key, name = forger.stranger["RS256"].private, x509.Name([])
    now = datetime.now(UTC)
    built = x509.CertificateBuilder(
        issuer_name=name,
        subject_name=name,
        public_key=key.public_key(),
        serial_number=1,
        not_valid_before=now - timedelta(days=1),
        not_valid_after=now + timedelta(days=1),
    ).sign(key, hashes.SHA256())
    return [base64.b64encode(built.public_bytes(Encoding.DER)).decode()]


LURES: dict[str, Lure] = {
    "jwk under a known id": lambda f, _: f.by_stranger(jwk=f.stranger["EdDSA"].jwk),
    "jwk under an unknown id": lambda f, _: f.by_stranger(
        jwk={**f.stranger["EdDSA"].jwk, "kid": UNKNOWN}, kid=UNKNOWN
    ),
    "jwk and no id": lambda f, _: f.sealed(
        segment({"alg": "EdDSA", "jwk": f.stranger["EdDSA"].jwk}),
        segment(f.claims()),
        f.stranger["EdDSA"],
    ),
    "jwk of a secret": lambda f, _: f.keyed(
        b"secret", header={"jwk": {"kty": "oct", "k": base64url(b"secret"), "alg": "HS256"}}
    ),
    "jku under a known id": lambda f, url: f.by_stranger(jku=url),
    "jku under an unknown id": lambda f, url: f.by_stranger(jku=url, kid=UNKNOWN),
    "jku of a list": lambda f, url: f.by_stranger(jku=[url]),
    "x5u under a known id": lambda f, url: f.by_stranger("RS256", x5u=url),
    "x5u under an unknown id": lambda f, url: f.by_stranger("RS256", x5u=url, kid=UNKNOWN),
    "x5c under a known id": lambda f, _: f.by_stranger("RS256", x5c=certificate(f)),
    "x5c under an unknown id": lambda f, _: f.by_stranger("RS256", x5c=certificate(f), kid=UNKNOWN),
    "an address for the key set": lambda f, url: f.by_stranger(jwks_uri=url, jwks_url=url),
    "an address for a key id": lambda f, url: f.by_stranger(kid=url[:128]),
    "an address for the issuer": lambda f, url: f.token(iss=url.removesuffix("/api/auth/jwks")),
    "everything at once": lambda f, url: f.by_stranger(
        "RS256", jku=url, x5u=url, jwk=f.stranger["RS256"].jwk, x5c=certificate(f), kid=url[:128]
    ),
}


@pytest.mark.proves("FR-009", "SC-002", "EDGE-6")
@pytest.mark.parametrize(("lure", "status", "code"), group(401, "invalid_token", LURES))
def test_a_key_that_a_token_brings_or_names_is_not_looked_at(
    refuse: Refuse, forger: Forger, trap: KeyServer, lure: Lure, status: int, code: str
) -> None:
    token = lure(forger, trap.url)
    refuse(bearing(token), token, status, code)
    assert trap.requests == 0


def test_a_good_token_may_name_addresses_that_nobody_visits(
    service: str, forger: Forger, trap: KeyServer
) -> None:
    lure = {"jku": trap.url, "x5u": trap.url, "jwk": forger.stranger["EdDSA"].jwk}
    assert exchange(service, bearing(forger.token(header=lure))).status_code == 200
    assert trap.requests == 0
    httpx2.get(trap.url)
    assert trap.requests == 1, "the trap does not count"


# --- Claims -----------------------------------------------------------------------------------


def claim(**changed: Any) -> Forge:
    """A trusted token, but for these claims."""
    return lambda f: f.token(**changed)


def near(value: str) -> dict[str, object]:
    """What is nearly the value, or contains it, or would be it to a lenient reader."""
    host = value.removeprefix("https://")
    return {
        "with a slash": f"{value}/",
        "with a path": f"{value}/api/auth",
        "with its port": f"{value}:443",
        "with another port": f"{value}:8443",
        "with a dot": f"{value}.",
        "with a query": f"{value}?",
        "with a fragment": f"{value}#",
        "with a letter": f"{value}x",
        "with a space": f"{value} ",
        "with a line break": f"{value}\n",
        "with NUL": f"{value}\0",
        "with a zero-width space": f"{value}\u200b",
        "after a space": f" {value}",
        "before another domain": f"{value}.evil.example",
        "before a host": f"{value}@evil.example",
        "as a subdomain's": f"https://a.{host}",
        "as its parent's": "https://example.com",
        "cut": value[:-1],
        "over http": f"http://{host}",
        "without a scheme": host,
        "with a scheme in capitals": f"HTTPS://{host}",
        "with a capital": f"https://{host.capitalize()}",
        "in capitals": value.upper(),
        "in part full width": value.replace("e", "ｅ"),  # noqa: RUF001 - the point
        "escaped": value.replace(".", "%2E"),
        "twice": f"{value} {value}",
        "twice, with a comma": f"{value},{value}",
        "empty": "",
        "a space": " ",
        "a wildcard": "*",
        "null": None,
        "zero": 0,
        "true": True,
        "false": False,
        "an object": {"value": value},
        "a list in a list": [[value]],
        "a list with a number": [value, 1],
        "a list with null": [None, value],
        "an empty list": [],
        "a list of near ones": [f"{value}/", value[:-1]],
    }


PARTIES: dict[str, Forge] = {
    **{f"iss {name}": claim(iss=value) for name, value in near(ISSUER).items()},
    **{f"aud {name}": claim(aud=value) for name, value in near(AUDIENCE).items()},
    "iss a list": claim(iss=[ISSUER]),
    "iss the audience": claim(iss=AUDIENCE),
    "iss somebody else": claim(iss="https://evil.example"),
    "aud the issuer": claim(aud=ISSUER),
    "aud somebody else": claim(aud="https://evil.example"),
    "aud Better Auth's session cache": claim(aud="better-auth:session-cache"),
    "iss and aud swapped": claim(iss=AUDIENCE, aud=ISSUER),
}


@pytest.mark.proves("FR-009", "SC-002", "EDGE-6")
@pytest.mark.parametrize(CASE, group(401, "invalid_token", PARTIES))
def test_issuer_and_audience_are_compared_exactly(
    refuse: Refuse, forger: Forger, forge: Forge, status: int, code: str
) -> None:
    token = forge(forger)
    refuse(bearing(token), token, status, code)


NO_TIMES = {  # JSON; SECONDS stands for a time that would do
    "null": "null",
    "true": "true",
    "false": "false",
    "an empty string": '""',
    "a string": '"SECONDS"',
    "a string with spaces": '" SECONDS "',
    "a string with a fraction": '"SECONDS.5"',
    "a string with underscores": '"1_795_216_891"',
    "a string of Arabic-Indic digits": '"١٧٩٥٢١٦٨٩١"',
    "a hexadecimal string": '"0x7fffffff"',
    "a date": '"2099-01-01T00:00:00Z"',
    "a list": "[SECONDS]",
    "an object": '{"seconds":SECONDS}',
    "NaN": "NaN",
    "Infinity": "Infinity",
    "-Infinity": "-Infinity",
    "1e400": "1e400",
    "10^400": "1" + "0" * 400,
    "-10^400": "-1" + "0" * 400,
    "5,000 digits": "9" * 5000,
    "before 1970": "-1",
    "after the year 9999": "253402300800",
    "a plus sign": "+SECONDS",
    "a leading zero": "0SECONDS",
    "hexadecimal": "0x7fffffff",
}


def time_text(name: str, text: str) -> Forge:
    """A trusted token with this text as the time, as it stands."""

    def forge(forger: Forger) -> str:
        seconds = forger.now + (600 if name == "exp" else -5)
        claims = {k: v for k, v in forger.claims().items() if k != name}
        payload = with_literals(claims, **{name: text.replace("SECONDS", str(seconds))})
        return forger.signed(forger.header(), payload)

    return forge


def at(**offsets: float) -> Forge:
    """A trusted token whose times are so many seconds from now."""
    return lambda f: f.token(**{name: f.now + offset for name, offset in offsets.items()})


EXPIRED: dict[str, Forge] = {
    "by exactly the leeway": at(exp=-LEEWAY),
    "by the leeway and a fraction": at(exp=-LEEWAY - 0.5),
    "by a minute": at(exp=-60),
    "by a year": at(iat=-31_536_900, exp=-31_536_000),
    "in 1970, as 3600 for expirationTime makes it": claim(exp=3600),
    "at zero": claim(exp=0),
    "before it was issued": at(iat=-10, exp=-900),
    "with an audience list": lambda f: f.token(exp=f.now - 60, aud=[AUDIENCE]),
}
UNTIMELY: dict[str, Forge] = {
    "issued in a minute": at(iat=60),
    "issued in a minute and a fraction": at(iat=60.5),
    "issued tomorrow": at(iat=86_400, exp=87_300),
    "issued in milliseconds": lambda f: f.token(iat=f.now * 1000),
    "good in a minute": at(nbf=60),
    "good in a minute and a fraction": at(nbf=60.5),
    "good once it has expired": at(nbf=901),
    "good for a second too long": at(iat=0, exp=MAX_LIFETIME + 1),
    "good for a fraction too long": at(iat=0, exp=MAX_LIFETIME + 0.5),
    "good for a hundred years": at(exp=100 * 31_536_000),
    "good since 1970": claim(iat=0),
    "good until the year 9999": claim(exp=253_402_300_799),
    "expiring in milliseconds": lambda f: f.token(exp=(f.now + 900) * 1000),
}


@pytest.mark.proves("FR-009", "SC-002", "EDGE-2")
@pytest.mark.parametrize(CASE, group(401, "expired_token", EXPIRED))
def test_a_token_that_was_good_once_has_expired(
    refuse: Refuse, forger: Forger, forge: Forge, status: int, code: str
) -> None:
    token = forge(forger)
    refuse(bearing(token), token, status, code)


@pytest.mark.proves("FR-009", "SC-002", "EDGE-6")
@pytest.mark.parametrize(
    CASE,
    [
        *group(401, "invalid_token", UNTIMELY),
        *group(
            401,
            "invalid_token",
            {
                f"{name} {kind}": time_text(name, text)
                for name in ("exp", "iat", "nbf")
                for kind, text in NO_TIMES.items()
            },
        ),
    ],
)
def test_times_are_numbers_that_bound_a_moderate_life(
    refuse: Refuse, forger: Forger, forge: Forge, status: int, code: str
) -> None:
    token = forge(forger)
    refuse(bearing(token), token, status, code)


NO_SUBJECTS = {
    "null": None,
    "a number": 42,
    "a fraction": 4.2,
    "true": True,
    "a list": ["alice-in-a-list"],
    "an object": {"id": "alice-in-an-object"},
    "empty": "",
    "256 characters": "s" * 256,
    "256 emoji": "🙂" * 256,
    "NUL": "alice\0",
    "NUL and more": "alice\0bob",
    "a line break": "alice\nbob",
    "a line break at the end": "alice-and-no-more\n",
    "a carriage return": "alice\rbob",
    "a tab": "alice\tbob",
    "an escape": "alice\x1b[31m",
    "a backspace": "alice\x08bob",
    "DEL": "alice\x7fbob",
    "0x80": "alice\x80bob",
    "next line": "alice\x85bob",
    "0x9F": "alice\x9fbob",
    "a high surrogate": "alice\ud83dbob",
    "a low surrogate": "alice\ude00bob",
    "surrogates the wrong way round": "alice\ude00\ud83dbob",
}


@pytest.mark.proves("FR-009", "SC-002", "EDGE-6")
@pytest.mark.parametrize(
    CASE,
    [
        *group(
            401,
            "invalid_token",
            {f"sub {name}": claim(sub=value) for name, value in NO_SUBJECTS.items()},
        ),
        *group(
            401,
            "invalid_token",
            {
                f"no {name}": lambda f, name=name: f.signed(f.header(), f.without(name))
                for name in ("exp", "iat", "sub", "iss", "aud")
            },
        ),
        *group(401, "invalid_token", {"jti a number": claim(jti=7), "jti null": claim(jti=None)}),
    ],
)
def test_every_required_claim_is_there_and_names_somebody(
    refuse: Refuse, forger: Forger, forge: Forge, status: int, code: str
) -> None:
    token = forge(forger)
    refuse(bearing(token), token, status, code)


def payload_text(change: Callable[[str], str], encoding: str = "utf-8") -> Forge:
    """A token whose payload is the text that becomes of a good one."""
    return lambda f: f.signed(f.header(), change(json.dumps(f.claims())).encode(encoding))


def payload_and(text: str) -> Forge:
    """A token whose payload is as it should be, and ends with this text."""
    return payload_text(lambda good: good[:-1] + text)


PAYLOADS: dict[str, Forge] = {
    "no JSON": payload_text(lambda _: "sub=alice&aud=tasks"),
    "a list": payload_text(lambda good: f"[{good}]"),
    "a string": payload_text(json.dumps),
    "a number": payload_text(lambda _: "1"),
    "true": payload_text(lambda _: "true"),
    "null": payload_text(lambda _: "null"),
    "an empty object": payload_text(lambda _: "{}"),
    "a byte order mark": payload_text(str, "utf-8-sig"),
    "UTF-16": payload_text(str, "utf-16"),
    "UTF-16 without a mark": payload_text(str, "utf-16-le"),
    "UTF-16, big end first": payload_text(str, "utf-16-be"),
    "UTF-32": payload_text(str, "utf-32"),
    "Latin-1": payload_text(lambda good: good[:-1] + ',"x":"é"}', "latin-1"),
    "surrogates in UTF-8": lambda f: f.signed(
        f.header(), json.dumps(f.claims())[:-1].encode() + b',"x":"\xed\xa0\xbd\xed\xb8\x80"}'
    ),
    "overlong UTF-8": lambda f: f.signed(
        f.header(), json.dumps(f.claims())[:-1].encode() + b',"x":"\xc0\xaf"}'
    ),
    "bytes of no text": lambda f: f.signed(f.header(), bytes(range(256))),
    "deflated": lambda f: f.signed(f.header(), zlib.compress(json.dumps(f.claims()).encode())),
    "a token within": lambda f: f.signed(f.header(cty="JWT"), f.token().encode()),
    "cut off": payload_text(lambda good: good[:-1]),
    "two objects": payload_and("}{}"),
    "NUL at the end": payload_and("}\0"),
    "single quotes": payload_text(lambda good: good.replace('"', "'")),
    "a comma too many": payload_and(",}"),
    "a comment": payload_and("/* hello */}"),
    "a raw line break in a string": payload_and(',"x":"\n"}'),
    "NaN in a claim of no meaning": payload_and(',"x":NaN}'),
    "Infinity in a claim of no meaning": payload_and(',"x":[Infinity]}'),
    "a number of 4,301 digits": payload_and(f',"x":{"9" * 4301}}}'),
    "lists 2,500 deep": payload_and(f',"x":{"[" * 2500}{"]" * 2500}}}'),
    "objects 1,200 deep": payload_and(',"x":' + '{"":' * 1200 + "1" + "}" * 1201),
    **{
        f"{name} twice": payload_and(f',"{name}":{json.dumps(value)}}}')
        for name, value in {
            "sub": "somebody-else",
            "aud": AUDIENCE,
            "iss": ISSUER,
            "exp": 253_402_300_799,
            "email": "eve@example.com",
        }.items()
    },
    "sub twice, once escaped": payload_and(r',"\u0073ub":"somebody-else"}'),
    "a name twice within": payload_and(',"x":{"y":1,"y":2}}'),
}


@pytest.mark.proves("FR-009", "SC-002", "EDGE-6")
@pytest.mark.parametrize(CASE, group(401, "invalid_token", PAYLOADS))
def test_a_payload_has_one_reading(
    refuse: Refuse, forger: Forger, forge: Forge, status: int, code: str
) -> None:
    token = forge(forger)
    refuse(bearing(token), token, status, code)


# --- The signature ----------------------------------------------------------------------------

GROUP_ORDER = 2**252 + 27742317777372353535851937790883648493  # of Ed25519 (RFC 8032, 5.1)


def with_signature(by: str, change: Callable[[bytes], bytes]) -> Forge:
    """A trusted token with what becomes of its signature."""

    def forge(forger: Forger) -> str:
        message, _, signature = forger.token(by).rpartition(".")
        return f"{message}.{base64url(change(from_base64url(signature)))}"

    return forge


def flipped(at: int) -> Callable[[bytes], bytes]:
    def flip(signature: bytes) -> bytes:
        changed = bytearray(signature)
        changed[at] ^= 1
        return bytes(changed)

    return flip


MANGLED: dict[str, Callable[[bytes], bytes]] = {
    "with its first byte's bit flipped": flipped(0),
    "with a bit flipped in the middle": flipped(30),
    "with its last bit flipped": flipped(-1),
    "a byte short": lambda signature: signature[:-1],
    "a byte short in front": lambda signature: signature[1:],
    "half": lambda signature: signature[: len(signature) // 2],
    "one byte": lambda signature: signature[:1],
    "a byte long": lambda signature: signature + b"\0",
    "a byte long in front": lambda signature: b"\0" + signature,
    "twice": lambda signature: signature * 2,
    "all zero": lambda signature: bytes(len(signature)),
    "all ones": lambda signature: b"\xff" * len(signature),
    "backwards": lambda signature: signature[::-1],
}


def numbers(signature: bytes) -> tuple[int, int]:
    half = len(signature) // 2
    return int.from_bytes(signature[:half]), int.from_bytes(signature[half:])


def with_greater_s(signature: bytes) -> bytes:
    """The second of the two spellings that a lenient Ed25519 takes for one signature."""
    s = int.from_bytes(signature[32:], "little") + GROUP_ORDER
    return signature[:32] + s.to_bytes(32, "little")


def as_der(signature: bytes) -> bytes:
    return encode_dss_signature(*numbers(signature))


def wider(signature: bytes) -> bytes:
    half = len(signature) // 2
    return b"\0" + signature[:half] + b"\0" + signature[half:]


def salted(length: int) -> Forge:
    """RSA-PSS with a salt of another length than the digest's (RFC 7518, 3.5)."""

    def forge(forger: Forger) -> str:
        message = f"{segment(forger.header('PS256'))}.{segment(forger.claims())}"
        key = forger.trusted["PS256"].private
        assert isinstance(key, rsa.RSAPrivateKey)
        scheme = padding.PSS(padding.MGF1(hashes.SHA256()), length)
        return f"{message}.{base64url(key.sign(message.encode(), scheme, hashes.SHA256()))}"

    return forge


def altered(forger: Forger, header: dict[str, Any], **claims: Any) -> str:
    """A trusted token with other contents under its old signature."""
    original, payload = forger.header(), forger.claims()
    signature = forger.signed(original, payload).rpartition(".")[2]
    return f"{segment({**original, **header})}.{segment({**payload, **claims})}.{signature}"


SIGNATURES: dict[str, Forge] = {
    **{
        f"{by} {name}": with_signature(by, change)
        for by in ALGORITHMS
        for name, change in MANGLED.items()
    },
    **{
        f"{by} by a stranger under a known id": lambda f, by=by: f.by_stranger(by)
        for by in ALGORITHMS
    },
    **{
        f"{by} of another token": lambda f, by=by: ".".join(
            [*f.token(by).split(".")[:2], f.token(by).split(".")[2]]
        )
        for by in ALGORITHMS
    },
    "EdDSA with a greater s": with_signature("EdDSA", with_greater_s),
    "ES256 in DER": with_signature("ES256", as_der),
    "ES512 in DER": with_signature("ES512", as_der),
    "ES256 in wider numbers": with_signature("ES256", wider),
    "ES512 in wider numbers": with_signature("ES512", wider),
    "ES256 with its numbers swapped": with_signature("ES256", lambda s: s[32:] + s[:32]),
    "PS256 without a salt": salted(0),
    "PS256 with a short salt": salted(20),
    "PS256 with the longest salt": salted(222),
    "over another user's id": lambda f: altered(f, {}, sub="somebody-else", id="somebody-else"),
    "over a later end": lambda f: altered(f, {}, exp=f.now + 1200),
    "over another type": lambda f: altered(f, {"typ": "JWT"}),
    "over another key's id": lambda f: altered(f, {"kid": f.trusted["serial"].kid}),
    "over the payload alone": lambda f: f.resigned(
        from_base64url(f.sealed("", segment(f.claims()), f.trusted["EdDSA"]).rpartition(".")[2])
    ),
    "the payload itself": lambda f: "{0}.{1}.{1}".format(*f.token().split(".")),
    "the development issuer's": lambda f: f.resigned(b"x" * 64),
}


@pytest.mark.proves("FR-009", "SC-002", "EDGE-6")
@pytest.mark.parametrize(CASE, group(401, "invalid_token", SIGNATURES))
def test_only_the_keys_own_signature_over_these_very_bytes_counts(
    refuse: Refuse, forger: Forger, forge: Forge, status: int, code: str
) -> None:
    token = forge(forger)
    refuse(bearing(token), token, status, code)


def test_the_development_issuers_key_counts_nowhere_else(
    refuse: Refuse, forger: Forger, development: Signer
) -> None:
    claims = segment(forger.claims())
    token = forger.sealed(segment({"alg": "EdDSA", "kid": development.kid}), claims, development)
    refuse(bearing(token), token, 401, "invalid_token")
