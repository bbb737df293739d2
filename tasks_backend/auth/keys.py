"""Which published keys may vouch for a caller: one JSON Web Key at a time (RFC 7517, RFC 8725)."""

import json
import logging
from collections import Counter
from collections.abc import Collection
from typing import Any

from jwt import PyJWK
from jwt.exceptions import PyJWTError

logger = logging.getLogger("tasks_backend.auth")

DEVELOPMENT_PREFIX = "tasks-backend-dev-"
"""How the ids of the development issuer's keys begin; only `tasks-backend dev` takes them."""
MAX_KEYS = 256
_RSA_BITS = range(2048, 8192 + 1)
_KEY_ID_LENGTH = range(1, 128 + 1)
_PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
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


def parse_key_set(
    body: bytes, algorithms: Collection[str], *, development: bool = False
) -> dict[str, PyJWK]:
    """Return the usable keys by id; none is a normal answer (Better Auth after an idle month).

    A member that cannot be used is dropped and logged, and never spoils the others. An id that
    stands for two different keys is dropped altogether. Raises NotAKeySet.
    """
    try:
        document = json.loads(body.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise NotAKeySet("no JSON") from error
    members = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(members, list):
        raise NotAKeySet("no list of keys")
    if len(members) > MAX_KEYS:
        raise NotAKeySet(f"more than {MAX_KEYS} keys")
    distinct = [member for at, member in enumerate(members) if member not in members[:at]]
    counts = Counter(
        member["kid"]
        for member in distinct
        if isinstance(member, dict) and isinstance(member.get("kid"), str)
    )
    keys = {}
    for member in distinct:
        reason = "its id stands for several keys"
        if not isinstance(member, dict) or counts.get(str(member.get("kid")), 0) < 2:  # noqa: PLR2004 - two are several
            key, reason = _usable(member, algorithms)
            if (
                key is not None
                and not development
                and str(key.key_id).startswith(DEVELOPMENT_PREFIX)
            ):
                key, reason = None, "it is the development issuer's"
            if key is not None:
                keys[str(key.key_id)] = key
                continue
        logger.warning("a published key is not used: %s", reason)
    return keys


def _usable(member: Any, algorithms: Collection[str]) -> tuple[PyJWK | None, str]:
    """Return the key, or why not. The reason is ours: what was published is not repeated."""
    if not isinstance(member, dict):
        return None, "it is no object"
    kid = member.get("kid")
    if not isinstance(kid, str) or len(kid) not in _KEY_ID_LENGTH or not _is_visible(kid):
        return None, "it has no proper id"
    if _PRIVATE_MEMBERS & member.keys():
        return None, "it is a secret one"
    operations = member.get("key_ops", ["verify"])
    if member.get("use", "sig") != "sig" or "verify" not in (operations or ()):
        return None, "it is not for signatures"
    algorithm = member.get("alg")
    if algorithm == "Ed25519":  # RFC 9864's name for what PyJWT and Better Auth call EdDSA
        algorithm = "EdDSA"
    if algorithm is not None and algorithm not in tuple(algorithms):
        return None, "its algorithm is not allowed"
    try:
        key = PyJWK(member, algorithm)
    except (PyJWTError, ValueError, TypeError, NotImplementedError, OverflowError):
        return None, "it is malformed"
    if key.algorithm_name not in algorithms:
        return None, "its algorithm is not allowed"
    if not _fits(key.algorithm_name, member):
        return None, "its algorithm and its type do not fit"
    if _is_weak(key.key, member):
        return None, "it is weak"
    return key, ""


def _fits(algorithm: str, member: dict[str, Any]) -> bool:
    kind = (member.get("kty"), member.get("crv"))
    return {
        "EdDSA": kind == ("OKP", "Ed25519"),
        "ES256": kind == ("EC", "P-256"),
        "ES384": kind == ("EC", "P-384"),
        "ES512": kind == ("EC", "P-521"),
    }.get(algorithm, kind[0] == "RSA")


def _is_weak(key: Any, member: dict[str, Any]) -> bool:
    if member["kty"] == "RSA":
        numbers = key.public_numbers()
        return key.key_size not in _RSA_BITS or numbers.e < 3 or numbers.e % 2 == 0  # noqa: PLR2004 - RFC 8017
    if member["kty"] == "OKP":
        point = bytearray(key.public_bytes_raw())
        point[31] &= 0x7F
        return bytes(point) in _SMALL_ORDER_POINTS
    return False


def _is_visible(text: str) -> bool:
    return text.isascii() and text.isprintable()
