"""Real keys and really signed tokens, in Better Auth's form."""

import json
import secrets
import time
from dataclasses import dataclass, field
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

ISSUER = "https://auth.example.com"
AUDIENCE = "https://auth.example.com"

PrivateKey = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def private_key(algorithm: str) -> PrivateKey:
    """Return a new key for this algorithm, such as EdDSA, ES256 or RS256."""
    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    if algorithm.startswith("ES"):
        curves = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}
        return ec.generate_private_key(curves[algorithm])
    return rsa.generate_private_key(65537, 2048)


@dataclass
class Signer:
    """One signing key. `token` takes any claims and headers; None omits one."""

    algorithm: str = "EdDSA"
    kid: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    private: PrivateKey = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.private = private_key(self.algorithm)

    @property
    def jwk(self) -> dict[str, Any]:
        """The public key as served by Better Auth: with `alg`, without `use`."""
        public: Any = self.private.public_key()
        kind: Any = {"E": OKPAlgorithm, "R": RSAAlgorithm, "P": RSAAlgorithm}[self.algorithm[0]]
        if self.algorithm.startswith("ES"):
            kind = ECAlgorithm
        shown = kind.to_jwk(public, as_dict=True)
        shown.pop("key_ops", None)
        return {**shown, "alg": self.algorithm, "kid": self.kid}

    def claims(self, sub: str, **changed: Any) -> dict[str, Any]:
        """Return the claims of a user's token, as Better Auth makes them, with these changes."""
        now = int(time.time())
        claims = {
            "iat": now,
            "name": "Alice Ünïcode",
            "email": "alice@example.com",
            "emailVerified": False,
            "image": None,
            "id": sub,
            "sub": sub,
            "exp": now + 900,
            "iss": ISSUER,
            "aud": AUDIENCE,
        }
        return {k: v for k, v in {**claims, **changed}.items() if v is not None or k == "image"}

    def token(self, sub: str, header: dict[str, Any] | None = None, **changed: Any) -> str:
        """Return a token of a user that expires after 15 minutes, with these changes."""
        headers = {"kid": self.kid, "typ": None, **(header or {})}
        return jwt.encode(
            self.claims(sub, **changed), self.private, algorithm=self.algorithm, headers=headers
        )


def key_set(*signers: Signer) -> bytes:
    """Return the JSON Web Key Set with the public keys."""
    return json.dumps({"keys": [signer.jwk for signer in signers]}).encode()
