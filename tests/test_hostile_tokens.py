"""Hostile tokens and hostile Authorization headers, byte for byte, against the running service.

Every signature is real. A refusal must be a problem document with one of the three challenges,
and neither the answer nor the log may repeat anything of the token.
"""

import base64
import json
import logging
import uuid
import zlib
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from support.answers import first_answer
from support.forgery import (
    Forge,
    Forger,
    at,
    base64url,
    claim,
    from_base64url,
    header,
    header_and,
    header_text,
    payload_and,
    payload_text,
    pem,
    public_bytes,
    sealed,
    segment,
    spelled,
    time_text,
    with_signature,
    with_stray_bits,
    without,
)
from support.service import connected, one_answer

from tasks_backend import Settings, create_app
from tasks_backend.auth.clock import LEEWAY
from tasks_backend.auth.keys import DEVELOPMENT_PREFIX
from tasks_backend.testing.key_server import KeyServer, json_answer
from tasks_backend.testing.service import problem, served
from tasks_backend.testing.signing import ISSUER, Signer, key_set
from tasks_backend.testing.waiting import until

TASKS = "/api/v1/tasks"
PUBLIC = {"/livez", "/readyz"}
AUDIENCE = "https://tasks.example.com"  # unlike the issuer, so that mixing them up is noticed
ALGORITHMS = ("EdDSA", "ES256", "ES512", "RS256", "PS256")
REQUIRED = ("exp", "iat", "sub", "iss", "aud")
MAX_BYTES = 8 * 1024
MAX_LIFETIME = 30 * 86_400
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

Refuse = Callable[[Forge, int, str], None]
RefuseRequest = Callable[[bytes, str, int, str], None]


def group(status: int, code: str, cases: Mapping[str, object]) -> list[Any]:
    return [pytest.param(case, status, code, id=name) for name, case in cases.items()]


def tokens(*groups: list[Any]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("forge", "status", "code"), [*chain(*groups)])


@pytest.fixture(scope="module")
def forger() -> Forger:
    trusted = {name: Signer(name) for name in ALGORITHMS}
    trusted["serial"] = Signer(kid="7")
    trusted["longest id"] = Signer(kid="~ {}/" + "k" * 123)
    return Forger(AUDIENCE, trusted)


@pytest.fixture(scope="module")
def development() -> Signer:
    """A key of the development issuer, published by mistake."""
    return Signer(kid=f"{DEVELOPMENT_PREFIX}0123456789abcdef")


@pytest.fixture(scope="module")
def keys(forger: Forger, development: Signer) -> Iterator[KeyServer]:
    with KeyServer(json_answer(key_set(*forger.trusted.values(), development))) as server:
        yield server


@pytest.fixture(scope="module")
def service(settings: Settings, keys: KeyServer) -> Iterator[str]:
    """The base URL of a service that trusts keys of every kind."""
    changed = {
        "jwks_url": keys.url,
        "jwks_cooldown": 0.02,  # seconds that a test with an unknown key takes
        "jwt_audience": AUDIENCE,
        "jwt_max_lifetime": float(MAX_LIFETIME),
    }
    with served(create_app(settings.model_copy(update=changed))) as url:
        yield url


@pytest.fixture
def trap(forger: Forger) -> Iterator[KeyServer]:
    """An address for tokens to name. It serves the stranger's keys and counts requests."""
    with KeyServer(json_answer(key_set(*forger.stranger.values()))) as server:
        yield server


@pytest.fixture
def refuse_request(service: str, caplog: pytest.LogCaptureFixture) -> RefuseRequest:
    """Sends a request and checks all promises of a refusal."""
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "tasks_backend")

    def refused(request: bytes, token: str, status: int, code: str) -> None:
        response = exchange(service, request)
        problem(response, status, code)
        assert response.headers.get("www-authenticate") == CHALLENGES.get(code)
        seen = f"{response.headers}\n{response.text}\n{caplog.text}"
        for trace in traces(token):
            assert trace not in seen

    return refused


@pytest.fixture
def refuse(refuse_request: RefuseRequest, forger: Forger) -> Refuse:
    def refused(forge: Forge, status: int, code: str) -> None:
        token = forge(forger)
        refuse_request(bearing(token), token, status, code)

    return refused


def traces(token: str) -> Iterator[str]:
    """Strings that would reveal a token: its parts, and all texts in its first two parts."""
    parts = token.split(".")
    yield from (part[:16] for part in parts if len(part) >= 8)
    for part in parts[:2]:
        try:
            yield from texts(json.loads(from_base64url(part)))
        except (ValueError, RecursionError):
            continue  # no JSON: then it has no texts


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, str) and len(value) >= 6:  # a shorter text may occur by chance
        yield value
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from texts(item)


def get(*fields: bytes, target: bytes = TASKS.encode()) -> bytes:
    return b"\r\n".join([b"GET " + target + b" HTTP/1.1", b"Host: tasks", *fields, b"", b""])


def bearing(token: str) -> bytes:
    return get(b"Authorization: Bearer " + token.encode())


def exchange(service: str, request: bytes) -> httpx2.Response:
    """The answer to exactly these bytes."""
    with connected(service) as connection:
        connection.sendall(request)
        found = first_answer(one_answer(connection))
    assert found
    answer, _ = found
    return httpx2.Response(answer.status, headers=answer.headers, content=answer.body)


def refusal(*groups: list[Any], proves: str = "") -> Callable[..., None]:
    """A test that each of these tokens is refused with its status and code."""

    @pytest.mark.proves("FR-009", "SC-002", *(proves or "EDGE-6").split())
    @tokens(*groups)
    def test(refuse: Refuse, forge: Forge, status: int, code: str) -> None:
        refuse(forge, status, code)

    return test


# --- The Authorization header -----------------------------------------------------------------

NO_BEARER = {
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
    "Basic before Bearer": b"Authorization: Basic dXNlcjpwYXNz, Bearer TOKEN",
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
    "a comma before the scheme": b"Authorization: , Bearer TOKEN",
    "a quoted scheme": b'Authorization: "Bearer" TOKEN',
    "an escaped space": b"Authorization: Bearer%20TOKEN",
    "a plus for the space": b"Authorization: Bearer+TOKEN",
    "a tab for the space": b"Authorization: Bearer\tTOKEN",
    "0x85 for the space": b"Authorization: Bearer\x85TOKEN",
    "0xA0 for the space": b"Authorization: Bearer\xa0TOKEN",
    "U+2003 for the space": b"Authorization: Bearer\xe2\x80\x83TOKEN",
    "0x85 before the scheme": b"Authorization: \x85Bearer TOKEN",
    "0xA0 before the scheme": b"Authorization: \xa0Bearer TOKEN",
    "a byte order mark before the scheme": b"Authorization: \xef\xbb\xbfBearer TOKEN",
    "a Cyrillic letter in the scheme": b"Authorization: B\xd0\xb5arer TOKEN",
    "full-width letters": b"Authorization: \xef\xbc\xa2\xef\xbd\x85arer TOKEN",
}

NOT_ONE_TOKEN = {
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
    "an escaped line break": b"Authorization: Bearer TOKEN%0D%0A",
    "a tab before it": b"Authorization: Bearer \tTOKEN",
    "a tab within it": b"Authorization: Bearer TOKEN\tTOKEN",
    "0x85 before it": b"Authorization: Bearer \x85TOKEN",
    "0x85 after it": b"Authorization: Bearer TOKEN\x85",
    "0xA0 before it": b"Authorization: Bearer \xa0TOKEN",
    "0xA0 after it": b"Authorization: Bearer TOKEN\xa0",
    "0xA0 for it": b"Authorization: Bearer \xa0",
    "0xFF after it": b"Authorization: Bearer TOKEN\xff",
    "a zero-width space after it": b"Authorization: Bearer TOKEN\xe2\x80\x8b",
    "an ideographic space after it": b"Authorization: Bearer TOKEN\xe3\x80\x80",
    "a byte order mark before it": b"Authorization: Bearer \xef\xbb\xbfTOKEN",
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
}

SPELLINGS = {
    "the usual form": b"Authorization: Bearer TOKEN",
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
@pytest.mark.parametrize(("fields", "status", "code"), group(401, "missing_token", NO_BEARER))
def test_without_a_bearer_token_the_challenge_names_no_error(
    refuse_request: RefuseRequest, forger: Forger, fields: bytes, status: int, code: str
) -> None:
    token = forger.token()
    refuse_request(get(fields.replace(b"TOKEN", token.encode())), token, status, code)


@pytest.mark.proves("FR-009", "SC-002", "EDGE-6")
@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [*group(401, "invalid_token", NOT_ONE_TOKEN), *group(400, "bad_request", NO_HTTP)],
)
def test_a_good_token_must_be_the_only_credential(
    refuse_request: RefuseRequest, forger: Forger, fields: bytes, status: int, code: str
) -> None:
    token = forger.token()
    refuse_request(get(fields.replace(b"TOKEN", token.encode())), token, status, code)


@pytest.mark.proves("FR-008")
@pytest.mark.parametrize("fields", SPELLINGS.values(), ids=SPELLINGS)
def test_the_header_is_accepted_in_every_spelling_that_http_allows(
    service: str, forger: Forger, fields: bytes
) -> None:
    response = exchange(service, get(fields.replace(b"TOKEN", forger.token().encode())))
    assert response.status_code == 200, response.text


ELSEWHERE = {
    "an access token's cookie": get(b"Cookie: access_token=TOKEN"),
    "a cookie named as the header": get(b"Cookie: Authorization=Bearer TOKEN"),
    "Better Auth's session token": get(b"Cookie: better-auth.session_token=TOKEN"),
    "Better Auth's session data": get(b"Cookie: __Secure-better-auth.session_data=TOKEN"),
    "Better Auth's response header": get(b"set-auth-jwt: TOKEN"),
    "Authentication": get(b"Authentication: Bearer TOKEN"),
    "Authorization_": get(b"Authorization_: Bearer TOKEN"),
    "HTTP_AUTHORIZATION": get(b"HTTP_AUTHORIZATION: Bearer TOKEN"),
    "Proxy-Authorization": get(b"Proxy-Authorization: Bearer TOKEN"),
    "X-Authorization": get(b"X-Authorization: Bearer TOKEN"),
    "X-Forwarded-Authorization": get(b"X-Forwarded-Authorization: Bearer TOKEN"),
    "X-Original-Authorization": get(b"X-Original-Authorization: Bearer TOKEN"),
    "X-Access-Token": get(b"X-Access-Token: TOKEN"),
    "X-Auth-Token": get(b"X-Auth-Token: TOKEN"),
    "X-Api-Key": get(b"X-Api-Key: TOKEN"),
    "Sec-WebSocket-Protocol": get(b"Sec-WebSocket-Protocol: bearer, TOKEN"),
    "the query": get(target=b"/api/v1/tasks?access_token=TOKEN"),
    "the query, as a header": get(target=b"/api/v1/tasks?Authorization=Bearer%20TOKEN"),
    "the target's user": get(target=b"http://TOKEN@tasks/api/v1/tasks"),
    "a form": get(b"Content-Type: application/x-www-form-urlencoded", b"Content-Length: 4000")
    + b"access_token=TOKEN",
    "a JSON body": get(b"Content-Type: application/json", b"Content-Length: 4000")
    + b'{"access_token": "TOKEN"',
    "a trailer": get(b"Transfer-Encoding: chunked") + b"0\r\nAuthorization: Bearer TOKEN\r\n\r\n",
}


@pytest.mark.proves("FR-008", "SC-002", "EDGE-3")
@pytest.mark.parametrize(("request_", "status", "code"), group(401, "missing_token", ELSEWHERE))
def test_a_token_outside_the_header_is_ignored(
    refuse_request: RefuseRequest, forger: Forger, request_: bytes, status: int, code: str
) -> None:
    token = forger.token()
    refuse_request(request_.replace(b"TOKEN", token.encode()), token, status, code)


# --- Size and form ----------------------------------------------------------------------------


def in_the_standard_alphabet(forger: Forger) -> str:
    while not {"-", "_"} <= set(token := forger.token()):
        pass
    return token.replace("-", "+").replace("_", "/")


def stray_bits_in_the_signature(forger: Forger) -> str:
    message, _, signature = forger.token().rpartition(".")
    return f"{message}.{with_stray_bits(signature)}"


def stray_bits_in(part: int) -> Forge:
    """A token whose header or payload was signed in a base64url form with stray bits."""

    def forge(forger: Forger) -> str:
        texts = [json.dumps(forger.header()), json.dumps(forger.claims())]
        texts[part] += " " * ((1 - len(texts[part])) % 3)  # one byte more than a multiple of three
        segments = [segment(text.encode()) for text in texts]
        segments[part] = with_stray_bits(segments[part])
        return sealed(segments[0], segments[1], forger.trusted["EdDSA"])

    return forge


SIZES: dict[str, Forge] = {
    "one character too long": lambda f: f.of_length(MAX_BYTES + 1),
    "six times too long": lambda f: f.of_length(6 * MAX_BYTES),
    "a long signature": lambda f: f.token() + "A" * MAX_BYTES,
    "a long key id": header(kid="k" * 10_000),
    "one long part": lambda _: "A" * 6 * MAX_BYTES,
    "nothing but dots": lambda _: "." * MAX_BYTES,
}
FORMS: dict[str, Forge] = {
    "one part": spelled("HEADER"),
    "two parts": spelled("HEADER.PAYLOAD"),
    "two parts and a dot": spelled("HEADER.PAYLOAD."),
    "four parts": spelled("HEADER.PAYLOAD.SIGNATURE.SIGNATURE"),
    "five parts": spelled("HEADER.PAYLOAD.SIGNATURE.SIGNATURE.SIGNATURE"),
    "an encrypted token": lambda _: ".".join(
        [
            segment({"alg": "dir", "enc": "A256GCM"}),
            "",
            *(base64url(b"x" * n) for n in (12, 64, 16)),
        ]
    ),
    "a dot before": spelled(".HEADER.PAYLOAD.SIGNATURE"),
    "a dot after": spelled("HEADER.PAYLOAD.SIGNATURE."),
    "two dots": spelled("HEADER..PAYLOAD.SIGNATURE"),
    "only dots": spelled(".."),
    "no header": spelled(".PAYLOAD.SIGNATURE"),
    "no payload": spelled("HEADER..SIGNATURE"),
    "parts in another order": spelled("PAYLOAD.HEADER.SIGNATURE"),
    "flattened JSON": spelled('{"payload":"PAYLOAD","protected":"HEADER","signature":"SIGNATURE"}'),
    "general JSON": spelled(
        '{"payload":"PAYLOAD","signatures":[{"protected":"HEADER","signature":"SIGNATURE"}]}'
    ),
    "the header padded": spelled("HEADER=.PAYLOAD.SIGNATURE"),
    "the payload padded": spelled("HEADER.PAYLOAD=.SIGNATURE"),
    "the signature padded": spelled("HEADER.PAYLOAD.SIGNATURE=="),
    "the signature padded too much": spelled("HEADER.PAYLOAD.SIGNATURE===="),
    "a space between": spelled("HEADER .PAYLOAD.SIGNATURE"),
    "a space within": spelled("HEADER.PAYLOAD. SIGNATURE"),
    "commas for dots": spelled("HEADER,PAYLOAD,SIGNATURE"),
    "escaped dots": spelled("HEADER%2EPAYLOAD%2ESIGNATURE"),
    "ideographic full stops": spelled("HEADER\u3002PAYLOAD\u3002SIGNATURE"),
    "the standard alphabet": in_the_standard_alphabet,
    "an Arabic-Indic digit": spelled("HEADER.PAYLOAD.SIGNATURE\u0663"),
    "a full-width letter": spelled("HEADER.PAYLOAD.SIGNATURE\uff21"),
    "junk that a lenient reader skips": spelled("HEADER.!PAYLOAD.SIGNATURE"),
    "junk after the signature": spelled("HEADER.PAYLOAD.SIGNATURE*"),
    "a signature of an impossible length": spelled("HEADER.PAYLOAD.SIGNATUREAAA"),
    "a header of an impossible length": spelled("A.PAYLOAD.SIGNATURE"),
    "stray bits in the header": stray_bits_in(0),
    "stray bits in the payload": stray_bits_in(1),
    "stray bits in the signature": stray_bits_in_the_signature,
    "hexadecimal": lambda f: ".".join(part.encode().hex() for part in f.token().split(".")),
    "encoded twice": lambda f: base64url(f.token().encode()),
    "null": lambda _: "null",
    "undefined": lambda _: "undefined",
    "a session token of Better Auth's": lambda _: "IzYl0a9Bc8De7Fg6Hi5Jk4Lm3No2Pq1R",
    "a signed session cookie": lambda _: "IzYl0a9Bc8De7Fg6Hi5Jk4Lm3No2Pq1R.c2lnbmF0dXJl%3D",
    "a PASETO": lambda _: f"v4.public.{'A' * 120}",
    "a UUID": lambda _: str(uuid.UUID(int=1)),
}


test_a_token_must_have_the_compact_form_and_a_moderate_size = refusal(
    group(401, "invalid_token", SIZES), group(401, "invalid_token", FORMS)
)


# --- The header of a token --------------------------------------------------------------------

HEADERS: dict[str, Forge] = {
    "no JSON": header_text("alg=EdDSA&kid=KID"),
    "a list": header_text('[{"alg":"EdDSA","kid":"KID"}]'),
    "a list of pairs": header_text('[["alg","EdDSA"],["kid","KID"]]'),
    "a string": header_text('"EdDSA"'),
    "a number": header_text("1"),
    "true": header_text("true"),
    "null": header_text("null"),
    "an empty object": header_text("{}"),
    "names in capitals": header_text('{"ALG":"EdDSA","KID":"KID"}'),
    "a byte order mark": header_and('"x":1}', "utf-8-sig"),
    "UTF-16": header_and('"x":1}', "utf-16"),
    "UTF-16 without a mark": header_and('"x":1}', "utf-16-le"),
    "UTF-32": header_and('"x":1}', "utf-32"),
    "Latin-1": header_and('"x":"\xe9"}', "latin-1"),
    "surrogates in UTF-8": header_and('"x":"\ud83d\ude00"}'),
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
    "objects 1,200 deep": header_and('"x":' + '{"":' * 1200 + "1" + "}" * 1201),
    "alg twice, none first": header_text('{"alg":"none","alg":"EdDSA","kid":"KID"}'),
    "alg twice, none last": header_and('"alg":"none"}'),
    "alg twice, once escaped": header_and(r'"\u0061lg":"EdDSA"}'),
    "kid twice": header_and('"kid":"KID"}'),
    "a name twice within": header_and('"x":{"y":1,"y":2}}'),
}


test_an_ambiguous_header_is_refused = refusal(group(401, "invalid_token", HEADERS))


NONE = ("none", "None", "NONE", "nOnE", "noNE", " none", "none ", "none\0", "\uff4eone")
NAMES = (
    "|eddsa|EDDSA| EdDSA|EdDSA |EdDSA\0|xxEdDSAxx|EdDSA,ES256|Ed25519"
    "|Ed448|ES256K|ES384|RS384|RS512|PS384|PS512|HS256|HS384|HS512"
    "|RSA-OAEP|RSA1_5|dir|A128KW|ECDH-ES|PBES2-HS256+A128KW|__proto__"
).split("|")
FORMS_OF_A_KEY: dict[str, Callable[[Signer], bytes]] = {
    "PEM": pem,
    "PEM without its last line break": lambda signer: pem(signer).strip(),
    "DER": lambda signer: public_bytes(signer, Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
    "OpenSSH line": lambda signer: public_bytes(signer, Encoding.OpenSSH, PublicFormat.OpenSSH),
    "JWK": lambda signer: json.dumps(signer.jwk).encode(),
    "key set": key_set,
    "id": lambda signer: signer.kid.encode(),
}


def keyed(by: str, form: Callable[[Signer], bytes], algorithm: str = "HS256") -> Forge:
    return lambda f: f.keyed(form(f.trusted[by]), by, algorithm)


def named(key: str, by: str, algorithm: str | None = None) -> Forge:
    """Signed by one trusted key with the header's algorithm, under the id of another key."""
    name = algorithm or by
    return lambda f: f.signed(f.header(key, alg=name), f.claims(), by, name)


def signed_as(by: str, algorithm: str) -> Forge:
    """The header names the key's own algorithm, the signature is made with another."""
    return lambda f: f.signed(f.header(by), f.claims(), by, algorithm)


CONFUSIONS: dict[str, Forge] = {
    **{f"{name!r} over a good signature": header(alg=name) for name in NONE},
    "'none' without a signature": lambda f: header(alg="none")(f).rpartition(".")[0] + ".",
    **{f"{name!r}": header(alg=name) for name in NAMES},
    "null": header(alg=None),
    "a number": header(alg=256),
    "true": header(alg=True),
    "a list": header(alg=["EdDSA"]),
    "an object": header(alg={"EdDSA": True}),
    "missing": header_text('{"kid":"KID"}'),
    **{
        f"HS256 with the {by} key's {form}": keyed(by, secret)
        for by in ("EdDSA", "ES256", "RS256")
        for form, secret in FORMS_OF_A_KEY.items()
    },
    "HS256 with the EdDSA key's bytes": keyed(
        "EdDSA", lambda signer: public_bytes(signer, Encoding.Raw, PublicFormat.Raw)
    ),
    "HS256 with the EdDSA key's x": keyed("EdDSA", lambda signer: signer.jwk["x"].encode()),
    "HS256 with the RS256 key's n": keyed("RS256", lambda signer: signer.jwk["n"].encode()),
    "HS256 with an empty secret": keyed("EdDSA", lambda _: b""),
    "HS256 with a usual secret": keyed("EdDSA", lambda _: b"better-auth-secret-123456789"),
    "HS384 with the RS256 key's PEM": keyed("RS256", pem, "HS384"),
    "HS512 with the RS256 key's PEM": keyed("RS256", pem, "HS512"),
    **{
        f"{by} under the {key} key's id": named(key, by)
        for by in ALGORITHMS
        for key in ALGORITHMS
        if by != key
    },
    "PS256 with the RS256 key": named("RS256", "RS256", "PS256"),
    "RS256 with the PS256 key": named("PS256", "PS256", "RS256"),
    "RS384 with the RS256 key": named("RS256", "RS256", "RS384"),
    "RS512 with the RS256 key": named("RS256", "RS256", "RS512"),
    "PS512 with the PS256 key": named("PS256", "PS256", "PS512"),
    "RS256, signed as PS256": signed_as("RS256", "PS256"),
    "RS256, signed as RS512": signed_as("RS256", "RS512"),
    "PS256, signed as RS256": signed_as("PS256", "RS256"),
    "PS256, signed as PS384": signed_as("PS256", "PS384"),
}


test_the_key_decides_the_algorithm = refusal(group(401, "invalid_token", CONFUSIONS))


def like_a_known_id(change: Callable[[str], str]) -> Forge:
    return lambda f: f.token(header={"kid": change(f.trusted["EdDSA"].kid)})


KEY_IDS: dict[str, Forge] = {
    "missing": header_text('{"alg":"EdDSA"}'),
    "null": header(kid=None),
    "empty": header(kid=""),
    "a known one as a number": lambda f: f.token("serial", header={"kid": 7}),
    "true": header(kid=True),
    "a list": lambda f: f.token(header={"kid": [f.trusted["EdDSA"].kid]}),
    "an object": lambda f: f.token(header={"kid": {"kid": f.trusted["EdDSA"].kid}}),
    "unknown": header(kid="xGKlravsHhi3EXhTja5P1QtxMcQviQT1"),
    "another key's": lambda f: f.token(header={"kid": f.trusted["serial"].kid}),
    "cut": like_a_known_id(lambda kid: kid[:-1]),
    "with a letter": like_a_known_id(lambda kid: kid + "x"),
    "in other case": like_a_known_id(str.swapcase),
    "with a space": like_a_known_id(lambda kid: kid + " "),
    "after a space": like_a_known_id(lambda kid: " " + kid),
    "with a line break": like_a_known_id(lambda kid: kid + "\n"),
    "with NUL": like_a_known_id(lambda kid: kid + "\0"),
    "with NUL and more": like_a_known_id(lambda kid: kid + "\0.pem"),
    "twice": like_a_known_id(lambda kid: f"{kid},{kid}"),
    "a relative path": header(kid="../../../../../../dev/null"),
    "an absolute path": header(kid="/etc/passwd"),
    "a file's address": header(kid="file:///dev/null"),
    "SQL that is always true": header(kid="x' OR '1'='1"),
    "SQL that brings a key": header(kid="x' UNION SELECT 'known-secret' --"),
    "a command": header(kid="|sleep 30;$(sleep 30)`sleep 30`"),
    "a template": header(kid="{{7*7}}${7*7}#{7*7}"),
    "a format": header(kid="%s%n%x{0.__class__.__mro__}"),
    "a wildcard": header(kid="*)(kid=*"),
    "a prototype": header(kid="__proto__"),
    "DEL": header(kid="key\x7fkey"),
    "a header of its own": header(kid="key\r\nX-Injected: yes"),
    "beyond ASCII": header(kid="\u043a\u043b\u044e\u0447-\u043a\u043b\u044e\u0447"),
    "an emoji": header(kid="key \U0001f511 key"),
    "a lone surrogate": header(kid="key \ud800 key"),
    "129 characters": header(kid="k" * 129),
    "5,000 characters": header(kid="k" * 5000),
}


test_a_key_is_found_by_its_exact_id_only = refusal(group(401, "invalid_token", KEY_IDS))


EXTENSIONS: dict[str, Forge] = {
    "crit of a claim": header(crit=["exp"], exp=1),
    "crit of an unknown member": header(crit=["https://example.com/bound"]),
    "crit of b64": header(crit=["b64"], b64=True),
    "crit empty": header(crit=[]),
    "crit null": header(crit=None),
    "crit a string": header(crit="exp"),
    "crit an object": header(crit={"exp": 1}),
    "b64 true": header(b64=True),
    "b64 false": header(b64=False),
    "b64 null": header(b64=None),
    "b64 false and critical": header(crit=["b64"], b64=False),
    "b64 false, and no payload": lambda f: f.signed(f.header(crit=["b64"], b64=False), b""),
    "zip": header(zip="DEF"),
    "zip null": header(zip=None),
    "zip of the claims": lambda f: f.signed(
        f.header(zip="DEF"), zlib.compress(json.dumps(f.claims()).encode(), wbits=-15)
    ),
    "zip of four million spaces": lambda f: f.signed(
        f.header(zip="DEF"), zlib.compress(b" " * 4_000_000, wbits=-15)
    ),
    "enc": header(enc="A256GCM"),
    "enc null": header(enc=None),
}
NAMED_TYPES = (
    "at+jwt|AT+JWT|application/at+jwt|application/jwt|refresh+jwt|token+jwt"
    "|better-auth.session-cache+jwt|logout+jwt|dpop+jwt|secevent+jwt|id_token+jwt"
    "|JWE|JOSE|JOSE+JSON|JWT | JWT|JWT\0|JWT,at+jwt|at jwt|at+jwt;v=1||text/html|\uff2aWT"
).split("|")
TYPES: list[Any] = [*NAMED_TYPES, None, 1, True, ["JWT"], {"JWT": 1}]


# The same keys also sign Better Auth's session caches and logout notices.
test_crit_and_typ_of_a_header_must_be_known = refusal(
    group(401, "invalid_token", EXTENSIONS),
    group(401, "invalid_token", {f"typ {typ!r}": header(typ=typ) for typ in TYPES}),
    proves="FR-017 EDGE-6",
)


UNKNOWN = "RtKLravsHhi3EXhTja5P1QtxMcQviQTz"
NOT_WORTH_ASKING: dict[str, Forge] = {
    "an id of 129 characters": header(kid="u" * 129),
    "an id beyond ASCII": header(kid=UNKNOWN + "\xe9"),
    "an id with NUL": header(kid=UNKNOWN + "\0"),
    "an empty id": header(kid=""),
    "alg none": header(kid=UNKNOWN, alg="none"),
    "alg HS256": header(kid=UNKNOWN, alg="HS256"),
    "alg RS512": header(kid=UNKNOWN, alg="RS512"),
    "crit": header(kid=UNKNOWN, crit=["exp"]),
    "another type": header(kid=UNKNOWN, typ="logout+jwt"),
    "too long": lambda f: header(kid=UNKNOWN)(f) + "A" * MAX_BYTES,
}


@pytest.mark.proves("FR-009", "SC-002", "EDGE-6")
@tokens(group(401, "invalid_token", NOT_WORTH_ASKING))
def test_a_malformed_token_causes_no_fetch(
    refuse: Refuse, keys: KeyServer, forge: Forge, status: int, code: str
) -> None:
    refuse(header(kid=str(uuid.uuid4())), 401, "invalid_token")
    asked = keys.requests
    refuse(forge, status, code)
    assert keys.requests == asked
    refuse(header(kid=str(uuid.uuid4())), 401, "invalid_token")
    assert keys.requests > asked, "nobody asks for any key"


Lure = Callable[[Forger, str], str]


def certificates(forger: Forger) -> list[str]:
    """A self-issued certificate of the stranger's key."""
    key, name, now = forger.stranger["RS256"].private, x509.Name([]), datetime.now(UTC)
    builder = x509.CertificateBuilder(
        name, name, key.public_key(), 1, now - timedelta(days=1), now + timedelta(days=1)
    )
    certificate = builder.sign(key, hashes.SHA256())
    return [base64.b64encode(certificate.public_bytes(Encoding.DER)).decode()]


LURES: dict[str, Lure] = {
    "jwk under a known id": lambda f, _: f.by_stranger(jwk=f.stranger["EdDSA"].jwk),
    "jwk under an unknown id": lambda f, _: f.by_stranger(
        jwk={**f.stranger["EdDSA"].jwk, "kid": UNKNOWN}, kid=UNKNOWN
    ),
    "jwk without an id": lambda f, _: sealed(
        segment({"alg": "EdDSA", "jwk": f.stranger["EdDSA"].jwk}),
        segment(f.claims()),
        f.stranger["EdDSA"],
    ),
    "jwk of a secret": lambda f, _: f.keyed(
        b"secret", jwk={"kty": "oct", "k": base64url(b"secret"), "alg": "HS256"}
    ),
    "jku under a known id": lambda f, url: f.by_stranger(jku=url),
    "jku under an unknown id": lambda f, url: f.by_stranger(jku=url, kid=UNKNOWN),
    "jku in a list": lambda f, url: f.by_stranger(jku=[url]),
    "x5u under a known id": lambda f, url: f.by_stranger("RS256", x5u=url),
    "x5u under an unknown id": lambda f, url: f.by_stranger("RS256", x5u=url, kid=UNKNOWN),
    "x5c under a known id": lambda f, _: f.by_stranger("RS256", x5c=certificates(f)),
    "x5c under an unknown id": lambda f, _: f.by_stranger(
        "RS256", x5c=certificates(f), kid=UNKNOWN
    ),
    "an address as the key id": lambda f, url: f.by_stranger(kid=url),
    "an address as the issuer": lambda f, url: f.token(iss=url.removesuffix("/api/auth/jwks")),
    "everything at once": lambda f, url: f.by_stranger(
        "RS256", jku=url, x5u=url, jwk=f.stranger["RS256"].jwk, x5c=certificates(f), kid=url
    ),
}


@pytest.mark.proves("FR-009", "SC-002", "EDGE-6")
@pytest.mark.parametrize(("lure", "status", "code"), group(401, "invalid_token", LURES))
def test_a_key_that_a_token_contains_or_references_is_ignored(
    refuse: Refuse, trap: KeyServer, lure: Lure, status: int, code: str
) -> None:
    refuse(lambda forger: lure(forger, trap.url), status, code)
    assert trap.requests == 0


def test_addresses_in_a_good_token_are_never_requested(
    service: str, forger: Forger, trap: KeyServer
) -> None:
    members = {"jku": trap.url, "x5u": trap.url, "jwk": forger.stranger["EdDSA"].jwk}
    assert exchange(service, bearing(forger.token(header=members))).status_code == 200
    assert trap.requests == 0
    httpx2.get(trap.url, timeout=30)
    assert trap.requests == 1, "the trap does not count"


# --- Claims -----------------------------------------------------------------------------------


def near(value: str) -> dict[str, object]:
    """Values that are similar to this one, or contain it, or that a lenient check accepts."""
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
        "before another host": f"{value}@evil.example",
        "of a subdomain": f"https://a.{host}",
        "of its parent": "https://example.com",
        "cut": value[:-1],
        "over http": f"http://{host}",
        "without a scheme": host,
        "with a scheme in capitals": f"HTTPS://{host}",
        "with a capital": f"https://{host.capitalize()}",
        "in capitals": value.upper(),
        "with a full-width letter": value.replace("e", "\uff45", 1),
        "escaped": value.replace(".", "%2E"),
        "twice": f"{value} {value}",
        "twice, with a comma": f"{value},{value}",
        "empty": "",
        "a space": " ",
        "a wildcard": "*",
        "somebody else's": "https://evil.example",
        "null": None,
        "zero": 0,
        "true": True,
        "false": False,
        "an object": {"value": value},
        "a list in a list": [[value]],
        "a list with a number": [value, 1],
        "a list with null": [None, value],
        "a list of near ones": [f"{value}/", value[:-1]],
        "an empty list": [],
    }


PARTIES: dict[str, Forge] = {
    **{f"iss {name}": claim(iss=value) for name, value in near(ISSUER).items()},
    **{f"aud {name}": claim(aud=value) for name, value in near(AUDIENCE).items()},
    "iss a list": claim(iss=[ISSUER]),
    "iss the audience": claim(iss=AUDIENCE),
    "aud the issuer": claim(aud=ISSUER),
    "iss and aud swapped": claim(iss=AUDIENCE, aud=ISSUER),
    "aud of Better Auth's session cache": claim(aud="better-auth:session-cache"),
}


test_issuer_and_audience_are_compared_exactly = refusal(group(401, "invalid_token", PARTIES))


EXPIRED: dict[str, Forge] = {
    "by exactly the leeway": at(exp=-LEEWAY),
    "by the leeway and a fraction": at(exp=-LEEWAY - 0.5),
    "by a minute": at(exp=-60),
    "by a year": at(iat=-31_536_900, exp=-31_536_000),
    "before it was issued": at(iat=-10, exp=-900),
    "in 1970, which expirationTime 3600 makes it": claim(exp=3600),
    "at zero": claim(exp=0),
}
UNTIMELY: dict[str, Forge] = {
    "issued in a minute": at(iat=60),
    "issued in a minute and a fraction": at(iat=60.5),
    "issued tomorrow": at(iat=86_400, exp=87_300),
    "issued in milliseconds": lambda f: f.token(iat=f.now * 1000),
    "good in a minute": at(nbf=60),
    "good in a minute and a fraction": at(nbf=60.5),
    "good after its end": at(nbf=901),
    "good for a second too long": at(iat=0, exp=MAX_LIFETIME + 1),
    "good for half a second too long": at(iat=0, exp=MAX_LIFETIME + 0.5),
    "good for a century": at(exp=100 * 31_536_000),
    "good since 1970": claim(iat=0),
    "good to the year 9999": claim(exp=253_402_300_799),
    "good to a time in milliseconds": lambda f: f.token(exp=(f.now + 900) * 1000),
}
NO_TIMES = {  # JSON; SECONDS is replaced by a valid time
    "null": "null",
    "true": "true",
    "false": "false",
    "an empty string": '""',
    "a string": '"SECONDS"',
    "a string with spaces": '" SECONDS "',
    "a string with a fraction": '"SECONDS.5"',
    "a string with underscores": '"1_795_216_891"',
    "a string of Arabic-Indic digits": r'"\u0661\u0667\u0669\u0665\u0662\u0661\u0666\u0668\u0669"',
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
    "with a plus sign": "+SECONDS",
    "with a leading zero": "0SECONDS",
    "hexadecimal": "0x7fffffff",
}


test_a_token_past_its_expiry_is_refused = refusal(
    group(401, "expired_token", EXPIRED), proves="EDGE-2"
)


test_times_must_be_numbers_and_the_lifetime_moderate = refusal(
    group(401, "invalid_token", UNTIMELY),
    *(
        group(401, "invalid_token", {f"{name} {kind}": time_text(name, text)})
        for name in ("exp", "iat", "nbf")
        for kind, text in NO_TIMES.items()
    ),
)


WHITE_SPACE = " \u00a0\u1680\u2000\u2003\u2007\u200a\u2028\u2029\u202f\u205f\u3000"
INVISIBLE = "\u00ad\u200b\u200d\u200e\u2060\u202e\u2066\ufeff"
NO_SUBJECTS = {
    "null": None,
    "a number": 42,
    "a fraction": 4.2,
    "true": True,
    "a list": ["alice-in-a-list"],
    "an object": {"id": "alice-in-an-object"},
    "empty": "",
    "256 characters": "s" * 256,
    "256 emoji": "\U0001f642" * 256,
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
    "0x85": "alice\x85bob",
    "0x9F": "alice\x9fbob",
    "a high surrogate": "alice\ud83dbob",
    "a low surrogate": "alice\ude00bob",
    "surrogates the wrong way round": "alice\ude00\ud83dbob",
    **{f"U+{ord(space):04X} alone": space for space in WHITE_SPACE},
    **{f"U+{ord(space):04X} at the end": f"alice-and-space{space}" for space in WHITE_SPACE},
    **{f"U+{ord(space):04X} at the beginning": f"{space}space-and-alice" for space in WHITE_SPACE},
    "several spaces": "   ",
    "white space of several kinds": "\u3000 \u2003",
    "spaces at both ends": " alice-and-spaces ",
    **{f"U+{ord(mark):04X} alone": mark for mark in INVISIBLE},
    "nothing that can be seen": "".join(INVISIBLE),
    "white space between what cannot be seen": "\u200b \u200b",
}


test_required_claims_must_be_there_and_the_subject_valid = refusal(
    group(
        401, "invalid_token", {f"sub {name}": claim(sub=sub) for name, sub in NO_SUBJECTS.items()}
    ),
    group(401, "invalid_token", {f"no {name}": without(name) for name in REQUIRED}),
    group(401, "invalid_token", {"jti a number": claim(jti=7), "jti null": claim(jti=None)}),
)


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
    "UTF-16, the big end first": payload_text(str, "utf-16-be"),
    "UTF-32": payload_text(str, "utf-32"),
    "Latin-1": payload_and(',"x":"\xe9"}', "latin-1"),
    "surrogates in UTF-8": payload_and(',"x":"\ud83d\ude00"}'),
    "bytes of no text": lambda f: f.signed(f.header(), bytes(range(256))),
    "deflated": lambda f: f.signed(f.header(), zlib.compress(json.dumps(f.claims()).encode())),
    "a token within": lambda f: f.signed(f.header(cty="JWT"), f.token().encode()),
    "cut off": payload_and(""),
    "two objects": payload_and("}{}"),
    "NUL at the end": payload_and("}\0"),
    "single quotes": payload_text(lambda good: good.replace('"', "'")),
    "a comma too many": payload_and(",}"),
    "a comment": payload_and("/* hello */}"),
    "a raw line break in a string": payload_and(',"x":"\n"}'),
    "NaN in a claim of no meaning": payload_and(',"x":NaN}'),
    "Infinity in a claim of no meaning": payload_and(',"x":[Infinity]}'),
    "a number of 4,301 digits": payload_and(f',"x":{"9" * 4301}}}'),
    "objects 1,200 deep": payload_and(',"x":' + '{"":' * 1200 + "1" + "}" * 1201),
    "sub twice": payload_and(',"sub":"somebody-else"}'),
    "sub twice, once escaped": payload_and(r',"\u0073ub":"somebody-else"}'),
    "iss twice": payload_and(f',"iss":"{ISSUER}"}}'),
    "aud twice": payload_and(f',"aud":"{AUDIENCE}"}}'),
    "exp twice": payload_and(',"exp":253402300799}'),
    "a name of no meaning twice": payload_and(',"x":{"y":1,"y":2}}'),
}


test_an_ambiguous_payload_is_refused = refusal(group(401, "invalid_token", PAYLOADS))


# --- The purpose ------------------------------------------------------------------------------

OF_ACCESS_TOKENS = ("cnf", "client_id", "azp", "scope", "scp")  # RFC 9068, 9449
OF_ID_TOKENS = ("nonce", "at_hash", "c_hash", "acr", "amr", "auth_time")  # OpenID Connect, 2
PURPOSES = OF_ACCESS_TOKENS + OF_ID_TOKENS
FOREIGN: dict[str, Forge] = {
    **{
        f"{name} {value!r}": claim(**{name: value})
        for name in PURPOSES
        for value in ("tasks", "", None, 0, False, [], {}, ["openid"], {"jkt": "x"})
    },
    **{
        f"{name}, escaped": payload_and(f',"\\u{ord(name[0]):04x}{name[1:]}":null}}')
        for name in PURPOSES
    },
    "an access token of a client's, for its user": lambda f: f.token(
        header={"typ": "at+jwt"}, client_id="spa", azp="spa", scope="openid profile", jti="1"
    ),
    "an access token without its type": claim(client_id="spa", azp="spa", scope="openid"),
    "an access token of a client's own": claim(sub="machine", client_id="machine", scope="read"),
    "an access token that is bound to a key": claim(cnf={"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0"}),
    "an ID token": claim(nonce="n-0S6_WzA2Mj", at_hash="x", auth_time=1, acr="0", sid="1"),
    "an ID token without a nonce": claim(auth_time=1, acr="urn:mace:incommon:iap:bronze"),
}


# Our audience is not sufficient: Better Auth signs the audience that a client requests.
test_a_token_issued_to_a_client_is_refused = refusal(
    group(401, "invalid_token", FOREIGN), proves="FR-017 EDGE-6"
)


# --- The signature ----------------------------------------------------------------------------

ORDER = 2**252 + 27742317777372353535851937790883648493  # of Ed25519's group (RFC 8032, 5.1)
ORDER_P256 = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def flipped(byte: int) -> Callable[[bytes], bytes]:
    def flip(signature: bytes) -> bytes:
        changed = bytearray(signature)
        changed[byte] ^= 1
        return bytes(changed)

    return flip


def halves(signature: bytes) -> tuple[bytes, bytes]:
    return signature[: len(signature) // 2], signature[len(signature) // 2 :]


def as_der(signature: bytes) -> bytes:
    return encode_dss_signature(*map(int.from_bytes, halves(signature)))


def with_wider_numbers(signature: bytes) -> bytes:
    return b"".join(b"\0" + half for half in halves(signature))


def with_greater_s(signature: bytes) -> bytes:
    """The variant that a lenient Ed25519 accepts as the same signature (RFC 8032, 8.4)."""
    r, s = halves(signature)
    return r + (int.from_bytes(s, "little") + ORDER).to_bytes(32, "little")


def with_other_s(signature: bytes) -> bytes:
    """The second valid signature of every ES256 signature; RFC 7518 allows both."""
    r, s = halves(signature)
    return r + (ORDER_P256 - int.from_bytes(s)).to_bytes(32)


def salted(length: int) -> Forge:
    """RSA-PSS with a salt length other than the digest's (RFC 7518, 3.5)."""

    def forge(forger: Forger) -> str:
        message = f"{segment(forger.header('PS256'))}.{segment(forger.claims())}"
        key = forger.trusted["PS256"].private
        assert isinstance(key, rsa.RSAPrivateKey)
        scheme = padding.PSS(padding.MGF1(hashes.SHA256()), length)
        return f"{message}.{base64url(key.sign(message.encode(), scheme, hashes.SHA256()))}"

    return forge


def of_another_token(by: str) -> Forge:
    return lambda f: f"{f.token(by).rpartition('.')[0]}.{f.token(by).rpartition('.')[2]}"


def by_stranger(by: str) -> Forge:
    return lambda f: f.by_stranger(by)


def altered(members: dict[str, Any], **claims: Any) -> Forge:
    """A trusted token with a changed header or claims and its old signature."""

    def forge(forger: Forger) -> str:
        header, payload = forger.header(), forger.claims()
        signature = forger.signed(header, payload).rpartition(".")[2]
        return f"{segment({**header, **members})}.{segment({**payload, **claims})}.{signature}"

    return forge


MANGLED: dict[str, Callable[[bytes], bytes]] = {
    "with its first bit flipped": flipped(0),
    "with a bit flipped within": flipped(30),
    "with its last bit flipped": flipped(-1),
    "a byte short": lambda signature: signature[:-1],
    "half": lambda signature: halves(signature)[0],
    "of one byte": lambda signature: signature[:1],
    "a byte long": lambda signature: signature + b"\0",
    "a byte long in front": lambda signature: b"\0" + signature,
    "twice": lambda signature: signature * 2,
    "of zeros": lambda signature: bytes(len(signature)),
    "of ones": lambda signature: b"\xff" * len(signature),
    "backwards": lambda signature: signature[::-1],
}
SIGNATURES: dict[str, Forge] = {
    **{
        f"{by} {name}": with_signature(by, change)
        for by in ALGORITHMS
        for name, change in MANGLED.items()
    },
    **{f"{by} of another token": of_another_token(by) for by in ALGORITHMS},
    **{f"{by} by a stranger under a known id": by_stranger(by) for by in ALGORITHMS},
    "EdDSA with a greater s": with_signature("EdDSA", with_greater_s),
    "ES256 in DER": with_signature("ES256", as_der),
    "ES512 in DER": with_signature("ES512", as_der),
    "ES256 with wider numbers": with_signature("ES256", with_wider_numbers),
    "ES512 with wider numbers": with_signature("ES512", with_wider_numbers),
    "ES256 with its numbers swapped": with_signature(
        "ES256", lambda signature: b"".join(halves(signature)[::-1])
    ),
    "PS256 without a salt": salted(0),
    "PS256 with a short salt": salted(20),
    "PS256 with the longest salt": salted(222),
    "over another user": altered({}, sub="somebody-else"),
    "over a later end": lambda f: altered({}, exp=f.now + 1200)(f),
    "over another type": altered({"typ": "JWT"}),
    "over another key id": lambda f: altered({"kid": f.trusted["serial"].kid})(f),
    "the payload for a signature": spelled("HEADER.PAYLOAD.PAYLOAD"),
}


test_only_a_signature_of_the_key_over_exactly_these_bytes_is_valid = refusal(
    group(401, "invalid_token", SIGNATURES)
)


@pytest.mark.proves("FR-009", "SC-002", "EDGE-6")
def test_the_development_issuer_is_not_trusted(refuse: Refuse, development: Signer) -> None:
    named_honestly = {"alg": "EdDSA", "kid": development.kid}
    refuse(
        lambda f: sealed(segment(named_honestly), segment(f.claims()), development),
        401,
        "invalid_token",
    )


# --- What must be accepted --------------------------------------------------------------------


def signed_by(name: str) -> Forge:
    return lambda f: f.token(name)


ACCEPTED: dict[str, Forge] = {
    **{f"{name}, as Better Auth signs": signed_by(name) for name in ALGORITHMS},
    "a key id of one digit": signed_by("serial"),
    "a key id of 128 characters": signed_by("longest id"),
    **{f"typ {typ}": header(typ=typ) for typ in ("JWT", "jwt", "Jwt")},
    "header members of no meaning": header(cty="x", x5t="y", nonce=1, **{"x-y": {"z": []}}),
    "a header in another order": header_text('{ "kid" : "KID" , "alg" : "EdDSA" }'),
    "a header with escapes": header_text(r'{"\u0061lg":"Ed\u0044SA","kid":"KID"}'),
    "the greatest size": lambda f: f.of_length(MAX_BYTES),
    "the other s of ES256": with_signature("ES256", with_other_s),
    "only the required claims": lambda f: f.signed(
        f.header(), {name: value for name, value in f.claims().items() if name in REQUIRED}
    ),
    "claims of no meaning": claim(role="admin", sid="1", jti="1", x={"y": [None, 1e300]}),
    "names of a purpose in other letters": claim(Scope="a", CNF={}, clientId="b", authTime=1),
    "names of a purpose within": claim(x=dict.fromkeys(PURPOSES)),
    "claims in raw UTF-8": payload_and(',"x":"\u00fc\u4f60\U0001f642"}'),
    "claims 100 deep": payload_and(f',"x":{"[" * 100}{"]" * 100}}}'),
    "an audience list of one": claim(aud=[AUDIENCE]),
    "an audience list, ours first": claim(aud=[AUDIENCE, ISSUER]),
    "an audience list, ours last": claim(aud=[ISSUER, "x", AUDIENCE]),
    "exp with a fraction": time_text("exp", "SECONDS.5"),
    "exp with an exponent": time_text("exp", "SECONDSe0"),
    "iat with a fraction": time_text("iat", "SECONDS.25"),
    "nbf with a fraction": time_text("nbf", "SECONDS.75"),
    "nbf now": at(nbf=0),
    "expired a second ago": at(iat=-901, exp=-1),
    "issued in five seconds": at(iat=5),
    "good in five seconds": at(nbf=5),
    "good for the longest time": at(iat=0, exp=MAX_LIFETIME),
}
SUBJECTS = {
    "as Better Auth makes them": "kP5R0doUzKO3rtNRW1gqHfth1xa2Uo3p",
    "a UUID": "3f0e8c1a-5b3e-4d8e-9d0b-0b6f5f7f6a11",
    "a number": "4711",
    "an e-mail address": "alice+tasks@example.com",
    "255 characters": "s" * 255,
    "255 emoji": "\U0001f642" * 255,
    "one character": "\u00fc",
    "words": "Alice O'Neill the 2nd",
    "an ideographic space within": "\u5c71\u7530\u3000\u592a\u90ce",
    "joined emoji": "\U0001f469\u200d\U0001f4bb",
    "a mark that cannot be seen": "alice\u200b",
    "a mark of direction": "\u200falice",
    "SQL": "'; DROP TABLE tasks_backend.tasks; --",
    "a format": "%s %(id)s {0} $1 :id \\",
    "a word of JSON": "null",
}


@pytest.mark.proves("FR-008")
@pytest.mark.parametrize("forge", ACCEPTED.values(), ids=ACCEPTED)
def test_an_honest_token_is_accepted(service: str, forger: Forger, forge: Forge) -> None:
    response = exchange(service, bearing(forge(forger)))
    assert response.status_code == 200, response.text
    assert response.json() == {"items": [], "next_cursor": None, "total": None}


@pytest.mark.proves("FR-008", "FR-010")
@pytest.mark.parametrize("sub", SUBJECTS.values(), ids=SUBJECTS)
def test_any_valid_subject_is_the_user_id(service: str, forger: Forger, sub: str) -> None:
    headers = {"Authorization": f"Bearer {forger.token(sub=sub)}"}
    with httpx2.Client(base_url=service, headers=headers, timeout=30) as client:
        created = client.post(TASKS, json={"title": "Buy milk"})
        assert created.status_code == 201, created.text
        assert created.json()["user_id"] == sub
        assert created.json() in client.get(TASKS).json()["items"]


# --- The gate ---------------------------------------------------------------------------------


@pytest.mark.proves("FR-008")
def test_a_token_is_verified_on_every_request(settings: Settings) -> None:
    """After its key is retired, a token that was accepted before is refused."""
    signer = Signer()
    with KeyServer(json_answer(key_set(signer))) as keys:
        changed = {"jwks_url": keys.url, "jwks_cooldown": 0.02, "jwks_refresh_after": 0.01}
        with served(create_app(settings.model_copy(update=changed))) as service:
            request = bearing(signer.token("alice"))
            assert exchange(service, request).status_code == 200
            keys.answer = json_answer(key_set(Signer()))
            until(lambda: exchange(service, request).status_code != 200, "a refusal")
            problem(exchange(service, request), 401, "invalid_token")


def test_waiting_for_a_key_ends_at_the_deadline(settings: Settings, signer: Signer) -> None:
    """The next fetch is in five minutes; this client waits for thirty seconds."""
    changed = {"jwks_timeout": 60.0, "jwks_cooldown": 300.0, "request_timeout": 0.5}
    with served(create_app(settings.model_copy(update=changed))) as service:
        known = bearing(signer.token("alice"))
        until(lambda: exchange(service, known).status_code == 200, "the service to be ready")
        problem(exchange(service, bearing(Signer().token("alice"))), 503, "auth_unavailable")


@pytest.mark.parametrize("path", [TASKS, "/livez"])
def test_a_content_length_of_thousands_of_digits_is_a_413(
    service: str, forger: Forger, path: str
) -> None:
    fields = [
        b"Authorization: Bearer " + forger.token().encode(),
        b"Content-Length: " + b"0" * 5000,
    ]
    problem(exchange(service, get(*fields, target=path.encode())), 413, "payload_too_large")


BODIES = {
    "that never comes": [b"Content-Type: application/json\r\nContent-Length: 17"],
    "that does not end": [
        b"Content-Type: application/json\r\nTransfer-Encoding: chunked",
        b'9\r\n{"title":\r\n',
    ],
    "of malformed JSON": [b"Content-Type: application/json\r\nContent-Length: 9", b'{"title":'],
    "of invalid fields": [
        b"Content-Type: application/json\r\nContent-Length: 13",
        b'{"title": 42}',
    ],
    "nested too deeply": [b"Content-Type: application/json\r\nContent-Length: 5000", b"[" * 5000],
    "too large": [b"Content-Type: application/json\r\nContent-Length: 10485760"],
    "of another type": [b"Content-Type: text/xml\r\nContent-Length: 6", b"<task>"],
    "of no type": [b"Content-Length: 2", b"{}"],
    "compressed": [
        b"Content-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: 2",
        b"\x1f\x8b",
    ],
}
CREDENTIALS: dict[str, Forge | None] = {
    "missing_token": None,
    "invalid_token": by_stranger("EdDSA"),
    "expired_token": at(exp=-60),
}


@pytest.fixture(scope="module")
def closed(service: str) -> list[bytes]:
    """The request lines of all documented operations that need a token."""
    paths = httpx2.get(f"{service}/openapi.json", timeout=30).json()["paths"]
    assert paths.keys() > PUBLIC
    lines = []
    for path in paths.keys() - PUBLIC:
        for method, operation in paths[path].items():
            assert operation["security"] == [{"bearerAuth": []}]
            for task_id in {str(uuid.UUID(int=1)), "no-id"} if "{" in path else {""}:
                target = path.replace("{task_id}", task_id)
                lines.append(f"{method.upper()} {target} HTTP/1.1\r\nHost: tasks\r\n".encode())
    return lines


@pytest.mark.proves("FR-008", "FR-009", "SC-002", "SC-005", "US1-AC3", "EDGE-3", "EDGE-6")
@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("code", CREDENTIALS)
def test_authentication_comes_before_the_body(
    refuse_request: RefuseRequest, forger: Forger, closed: list[bytes], code: str, body: list[bytes]
) -> None:
    forge = CREDENTIALS[code]
    token = forge(forger) if forge else ""
    credential = b"Authorization: Bearer %b\r\n" % token.encode() if token else b""
    for line in closed:
        refuse_request(line + credential + b"\r\n\r\n".join([*body, b""][:2]), token, 401, code)


@pytest.mark.proves("SC-005")
def test_only_authenticated_callers_get_a_100_continue(
    service: str, forger: Forger, closed: list[bytes]
) -> None:
    """A server that wants the body sends a 100 first (RFC 9110, 10.1.1)."""
    expecting = b"Expect: 100-continue\r\nContent-Type: application/json\r\nContent-Length: 17\r\n"
    credential = b"Authorization: Bearer " + forger.token().encode() + b"\r\n\r\n"
    create = f"POST {TASKS} HTTP/1.1\r\nHost: tasks\r\n".encode()
    assert create in closed
    assert first_line(service, create + expecting + credential) == b"HTTP/1.1 100 Continue\r\n"
    for line in closed:
        assert first_line(service, line + expecting + b"\r\n") == b"HTTP/1.1 401 Unauthorized\r\n"


def first_line(service: str, request: bytes) -> bytes:
    with connected(service) as connection, connection.makefile("rb") as reader:
        connection.sendall(request)
        return reader.readline()
