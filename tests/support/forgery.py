"""Hostile tokens: any header and any payload, exact to the byte, with a real signature."""

import base64
import hmac
import json
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import get_default_algorithms

from tasks_backend.testing.signing import Signer

Json = dict[str, Any] | bytes
"""A JSON object, or bytes in its place."""


@dataclass
class Forger:
    """The keys that a service trusts, by name, and a stranger's keys of the same kinds and ids."""

    audience: str
    trusted: dict[str, Signer]
    stranger: dict[str, Signer] = field(init=False)

    def __post_init__(self) -> None:
        self.stranger = {name: Signer(key.algorithm, key.kid) for name, key in self.trusted.items()}

    @property
    def now(self) -> int:
        return int(time.time())

    def header(self, by: str = "EdDSA", **changed: Any) -> dict[str, Any]:
        signer = self.trusted[by]
        return {"alg": signer.algorithm, "kid": signer.kid, **changed}

    def claims(self, **changed: Any) -> dict[str, Any]:
        """Better Auth's claims for a new user."""
        claims = self.trusted["EdDSA"].claims(secrets.token_hex(16), aud=self.audience)
        return {**claims, **changed}

    def token(self, by: str = "EdDSA", header: dict[str, Any] | None = None, **claims: Any) -> str:
        """A token of a trusted signer, with the given members replaced."""
        return self.signed(self.header(by, **(header or {})), self.claims(**claims), by)

    def signed(
        self, header: Json, payload: Json, by: str = "EdDSA", algorithm: str | None = None
    ) -> str:
        """A token with exactly this header and payload and a trusted signature."""
        return sealed(segment(header), segment(payload), self.trusted[by], algorithm)

    def by_stranger(self, by: str = "EdDSA", **header: Any) -> str:
        """A token of the stranger, with the id of a trusted key unless another is given."""
        return sealed(segment(self.header(by, **header)), segment(self.claims()), self.stranger[by])

    def keyed(
        self, secret: bytes, by: str = "EdDSA", algorithm: str = "HS256", **header: Any
    ) -> str:
        """A token whose signature is a MAC with a key that is not secret."""
        header = self.header(by, alg=algorithm, **header)
        message = f"{segment(header)}.{segment(self.claims())}"
        digest = hmac.digest(secret, message.encode(), f"sha{algorithm[2:]}")
        return f"{message}.{base64url(digest)}"

    def of_length(self, length: int) -> str:
        """A trusted token with exactly this number of characters."""
        claims = self.claims()
        spare = length - len(self.signed(self.header(), claims))
        for more in count(max(0, spare * 3 // 4 - 8)):
            for spaces in range(3):  # some segment lengths cannot occur
                header = json.dumps(self.header()).encode() + b" " * spaces
                token = self.signed(header, {**claims, "name": claims["name"] + "x" * more})
                if len(token) == length:
                    return token
                assert len(token) < length + 8, "no token is so short"
        raise AssertionError


def sealed(header: str, payload: str, signer: Signer, algorithm: str | None = None) -> str:
    """Two unchanged segments and the signer's signature over them."""
    kind: Any = get_default_algorithms()[algorithm or signer.algorithm]
    message = f"{header}.{payload}"
    return f"{message}.{base64url(kind.sign(message.encode(), signer.private))}"


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def from_base64url(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def segment(content: Json) -> str:
    return base64url(content if isinstance(content, bytes) else json.dumps(content).encode())


def with_stray_bits(text: str) -> str:
    """Another base64url form of the same bytes: an unused bit of the last character is set."""
    assert len(text) % 4 in {2, 3}, "every bit counts"
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return text[:-1] + alphabet[alphabet.index(text[-1]) + 1]


def public_bytes(signer: Signer, encoding: Encoding, form: PublicFormat) -> bytes:
    return signer.private.public_key().public_bytes(encoding, form)


def pem(signer: Signer) -> bytes:
    return public_bytes(signer, Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


# --- Recipes for tables of hostile tokens -------------------------------------------------------

Forge = Callable[[Forger], str]


def header(**members: Any) -> Forge:
    """A trusted token with these header members."""
    return lambda forger: forger.token(header=members)


def header_text(text: str, encoding: str = "utf-8") -> Forge:
    """A token with exactly this header; KID is replaced by the id of the signing key."""
    return lambda forger: forger.signed(
        text.replace("KID", forger.trusted["EdDSA"].kid).encode(encoding, "surrogatepass"),
        forger.claims(),
    )


def header_and(text: str, encoding: str = "utf-8") -> Forge:
    """A token whose header starts correctly and ends with this text."""
    return header_text('{"alg":"EdDSA","kid":"KID",' + text, encoding)


def claim(**changed: Any) -> Forge:
    """A trusted token with these claims."""
    return lambda forger: forger.token(**changed)


def without(name: str) -> Forge:
    """A trusted token without this claim."""
    return lambda forger: forger.signed(
        forger.header(), {k: v for k, v in forger.claims().items() if k != name}
    )


def at(**offsets: float) -> Forge:
    """A trusted token whose times are these seconds from now."""

    def forge(forger: Forger) -> str:
        now = forger.now
        times: dict[str, Any] = {name: now + offset for name, offset in offsets.items()}
        return forger.token(**times)

    return forge


def time_text(name: str, text: str) -> Forge:
    """A trusted token with this JSON as a time; SECONDS is replaced by a valid one."""

    def forge(forger: Forger) -> str:
        seconds = forger.now + (600 if name == "exp" else -5)
        claims = {k: v for k, v in forger.claims().items() if k != name}
        last = f',"{name}":{text.replace("SECONDS", str(seconds))}}}'
        return forger.signed(forger.header(), (json.dumps(claims)[:-1] + last).encode())

    return forge


def payload_text(change: Callable[[str], str], encoding: str = "utf-8") -> Forge:
    """A token whose payload is a valid one after this change of its text."""
    return lambda forger: forger.signed(
        forger.header(), change(json.dumps(forger.claims())).encode(encoding, "surrogatepass")
    )


def payload_and(text: str, encoding: str = "utf-8") -> Forge:
    """A token whose payload starts correctly and ends with this text."""
    return payload_text(lambda good: good[:-1] + text, encoding)


def spelled(template: str) -> Forge:
    """A trusted token, split and reassembled by the template."""

    def forge(forger: Forger) -> str:
        names = ("HEADER", "PAYLOAD", "SIGNATURE")
        parts = dict(zip(names, forger.token().split("."), strict=True))
        return re.sub("|".join(names), lambda name: parts[name[0]], template)

    return forge


def with_signature(by: str, change: Callable[[bytes], bytes]) -> Forge:
    """A trusted token after this change of its signature."""

    def forge(forger: Forger) -> str:
        message, _, signature = forger.token(by).rpartition(".")
        return f"{message}.{base64url(change(from_base64url(signature)))}"

    return forge
