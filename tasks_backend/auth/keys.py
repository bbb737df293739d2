"""Parsing and checking of published keys: JSON Web Keys (RFC 7517, RFC 8725)."""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt import PyJWK

from tasks_backend.auth.ed25519 import use_libsodium

DEVELOPMENT_PREFIX = "tasks-backend-dev-"
"""Prefix of the development issuer's key ids: no key set may contain it."""
MAX_KEYS = 256
KEY_ID = re.compile(r"[\x20-\x7e]{1,128}")
_PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_CURVES = {"EdDSA": "Ed25519", "ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}
_RSA_BITS = range(2048, 8192 + 1)
_FIELD_PRIME = 2**255 - 19  # of Ed25519's coordinates
_SIGN_BIT = 1 << 255
_SMALL_ORDER = frozenset(
    # Anybody can forge signatures for these Ed25519 keys: the points of small order (RFC 8032, 5.1.3).
    int.from_bytes(bytes.fromhex(y), "little")
    for y in (
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    )
)


class NotAKeySet(Exception):
    """The response is not a JSON Web Key Set, or it has too many keys."""


class UnusableKey(Exception):
    """A published key that must not verify tokens. The reason never contains the key's content."""


class Published(NamedTuple):
    """A parsed key set: the usable keys by id, and the number of refused keys by reason."""

    keys: dict[str, PyJWK]
    refused: Counter[str]


def parse_key_set(body: bytes, algorithms: Collection[str]) -> Published:
    """Return the keys. An empty set is normal (Better Auth after an idle month).

    An unusable key is skipped. If two keys share an id and one is unusable or they differ, both are
    refused. Raises NotAKeySet.
    """
    refused: Counter[str] = Counter()
    members_by_kid = defaultdict(list)
    for member in _members(body):
        kid = _key_id(member)
        if kid is None:
            refused["without a proper id"] += 1
        elif kid.startswith(DEVELOPMENT_PREFIX):
            refused["of the development issuer"] += 1
        else:
            members_by_kid[kid].append(member)
    keys = {}
    for kid, members in members_by_kid.items():
        try:
            keys[kid] = _single_key(members, algorithms)
        except UnusableKey as reason:
            refused[str(reason)] += len(members)
    return Published(keys, refused)


def _members(body: bytes) -> list[Any]:
    try:
        # No field of a key is a number, so any number may be inexact; `int` fails for 5,000 digits.
        document = json.loads(body.decode("utf-8-sig"), parse_int=float)
    except (ValueError, RecursionError) as error:
        raise NotAKeySet("no JSON") from error
    members = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(members, list):
        raise NotAKeySet("no list of keys")
    if len(members) > MAX_KEYS:
        raise NotAKeySet(f"more than {MAX_KEYS} keys")
    return members


def _key_id(member: Any) -> str | None:
    kid = member.get("kid") if isinstance(member, dict) else None
    return kid if isinstance(kid, str) and KEY_ID.fullmatch(kid) else None


def _single_key(members: Iterable[dict[str, Any]], algorithms: Collection[str]) -> PyJWK:
    """Return the one key that all these members describe. Raises UnusableKey."""
    key, *others = [_parse_key(member, algorithms) for member in members]
    if any((k.algorithm_name, k.key) != (key.algorithm_name, key.key) for k in others):
        raise UnusableKey("several under one id")
    return key


def _parse_key(member: dict[str, Any], algorithms: Collection[str]) -> PyJWK:
    if _PRIVATE_MEMBERS & member.keys():
        raise UnusableKey("secret")
    operations = member.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        raise UnusableKey("not for signatures")
    if member.get("use", "sig") != "sig":
        raise UnusableKey("not for signatures")
    algorithm = member.get("alg")
    if algorithm == "Ed25519":  # RFC 9864; PyJWT and Better Auth call it EdDSA
        algorithm = "EdDSA"
    if algorithm is not None and algorithm not in tuple(algorithms):
        raise UnusableKey("of an algorithm that is not allowed")
    try:
        key = PyJWK(member, algorithm)
    except Exception as error:
        raise UnusableKey("malformed") from error
    if key.algorithm_name not in algorithms:
        raise UnusableKey("of an algorithm that is not allowed")
    if member.get("crv") != _CURVES.get(key.algorithm_name, member.get("crv")):
        raise UnusableKey("on another curve than its algorithm's")
    if _is_weak(key.key):
        raise UnusableKey("weak")
    use_libsodium(key)
    return key


def _is_weak(key: object) -> bool:
    """Check what PyJWT and cryptography do not; they reject bad exponents and points."""
    if isinstance(key, RSAPublicKey):
        return key.key_size not in _RSA_BITS
    if isinstance(key, Ed25519PublicKey):
        y = int.from_bytes(key.public_bytes_raw(), "little") & ~_SIGN_BIT
        return y >= _FIELD_PRIME or y in _SMALL_ORDER  # a second encoding of a point, or a weak one
    return False
