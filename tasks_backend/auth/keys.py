"""Which published keys may vouch for a caller: one JSON Web Key at a time (RFC 7517, RFC 8725)."""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt import PyJWK

DEVELOPMENT_PREFIX = "tasks-backend-dev-"
"""How the ids of the development issuer's keys begin; only `tasks-backend dev` takes them."""
MAX_KEYS = 256
KEY_ID = re.compile(r"[\x20-\x7e]{1,128}")
_PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_CURVES = {"EdDSA": "Ed25519", "ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}
_RSA_BITS = range(2048, 8192 + 1)
_SMALL_ORDER_POINTS = frozenset(
    # Signatures under these Ed25519 keys can be made by anybody: the eight points of small order
    # and their other encodings, with the sign bit cleared.
    bytes.fromhex(point)
    for point in (
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    )
)


class NotAKeySet(Exception):
    """What the endpoint sent is no JSON Web Key Set, or one beyond all measure."""


class Unusable(Exception):
    """A published key that may not vouch for anybody. The reason is ours: nothing is repeated."""


class Published(NamedTuple):
    """What a key set holds: the usable keys by id, and how many are refused for which reason."""

    keys: dict[str, PyJWK]
    refused: Counter[str]


def parse_key_set(
    body: bytes, algorithms: Collection[str], *, development: bool = False
) -> Published:
    """Return what is published; no key at all is normal (Better Auth after an idle month).

    A member that cannot be used costs nobody else anything but its own id: where that stands for
    a second key too, for one that is secret or weak say, neither vouches. Raises NotAKeySet.
    """
    refused: Counter[str] = Counter()
    claimants = defaultdict(list)
    for member in _members(body):
        kid = _key_id(member)
        if kid is None:
            refused["without a proper id"] += 1
        elif kid.startswith(DEVELOPMENT_PREFIX) and not development:
            refused["of the development issuer"] += 1
        else:
            claimants[kid].append(member)
    keys = {}
    for kid, members in claimants.items():
        try:
            keys[kid] = _only_key(members, algorithms)
        except Unusable as reason:
            refused[str(reason)] += len(members)
    return Published(keys, refused)


def _members(body: bytes) -> list[Any]:
    try:
        # No member of a key is a number; one of 5,000 digits is no reason to refuse the others.
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


def _only_key(members: Iterable[dict[str, Any]], algorithms: Collection[str]) -> PyJWK:
    """Return the key that all these members are. Raises Unusable."""
    key, *others = [_usable(member, algorithms) for member in members]
    if any((k.algorithm_name, k.key) != (key.algorithm_name, key.key) for k in others):
        raise Unusable("several under one id")
    return key


def _usable(member: dict[str, Any], algorithms: Collection[str]) -> PyJWK:
    if _PRIVATE_MEMBERS & member.keys():
        raise Unusable("secret")
    operations = member.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        raise Unusable("not for signatures")
    if member.get("use", "sig") != "sig":
        raise Unusable("not for signatures")
    algorithm = member.get("alg")
    if algorithm == "Ed25519":  # RFC 9864's name for what PyJWT and Better Auth call EdDSA
        algorithm = "EdDSA"
    if algorithm is not None and algorithm not in tuple(algorithms):
        raise Unusable("of an algorithm that is not allowed")
    try:
        key = PyJWK(member, algorithm)
    except Exception as error:
        raise Unusable("malformed") from error
    if key.algorithm_name not in algorithms:
        raise Unusable("of an algorithm that is not allowed")
    if member.get("crv") != _CURVES.get(key.algorithm_name, member.get("crv")):
        raise Unusable("on another curve than its algorithm's")
    if _is_weak(key.key):
        raise Unusable("weak")
    return key


def _is_weak(key: object) -> bool:
    """Tell what PyJWT and cryptography let through; they refuse bad exponents and points."""
    if isinstance(key, RSAPublicKey):
        return key.key_size not in _RSA_BITS
    if isinstance(key, Ed25519PublicKey):
        *point, last = key.public_bytes_raw()
        return bytes([*point, last & 0x7F]) in _SMALL_ORDER_POINTS
    return False
