"""An issuer of tokens in Better Auth's format, for trying the service without Better Auth.

Only `tasks-backend dev` accepts its tokens. Its key ids start with a prefix that a key set may not
contain, so no setting makes a deployed service trust it.
"""

import json
import os
import secrets
import time
from pathlib import Path

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt import PyJWK
from jwt.algorithms import OKPAlgorithm

from tasks_backend.auth.keys import DEVELOPMENT_PREFIX
from tasks_backend.dev.postgres import DevelopmentError

ORIGIN = "http://tasks-backend.localhost"
ALGORITHM = "EdDSA"
DATA_DIRECTORY = "TASKS_BACKEND_DEV_DATA"  # `dev` sets it for the server process
TTL = 900  # seconds, like Better Auth
DAY = 24 * 3600  # seconds


class Issuer:
    """A signing key, kept in the data directory so that tokens survive a restart."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "issuer.json"

    def token(self, subject: str, *, ttl: int = TTL) -> str:
        """Return a token for a user. Raises DevelopmentError if `dev` was never started here."""
        key = self._key()
        now = int(time.time())
        user = {
            "name": subject,
            "email": f"{subject}@example.com",
            "emailVerified": False,
            "image": None,
            "id": subject,
        }
        standard = {"iat": now, "sub": subject, "exp": now + ttl, "iss": ORIGIN, "aud": ORIGIN}
        headers = {"kid": key["kid"], "typ": None}
        private = OKPAlgorithm.from_jwk(key)
        if not isinstance(private, Ed25519PrivateKey):
            raise DevelopmentError(f"{self._path} holds no Ed25519 key: delete it")
        return jwt.encode({**user, **standard}, private, algorithm=ALGORITHM, headers=headers)

    def make_key(self) -> None:
        """Create the signing key if it does not exist; only the file's owner may read it."""
        if self._path.exists():
            return
        jwk = OKPAlgorithm.to_jwk(Ed25519PrivateKey.generate(), as_dict=True)
        jwk |= {"kid": DEVELOPMENT_PREFIX + secrets.token_hex(8), "alg": ALGORITHM}
        unfinished = self._path.with_suffix(".new")
        unfinished.unlink(missing_ok=True)
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(jwk, file)
        unfinished.rename(self._path)  # now it is whole, whenever `dev` is killed

    def public_key(self) -> PyJWK:
        """Return the key that verifies the tokens. Raises DevelopmentError like `token`."""
        return PyJWK(
            {name: value for name, value in self._key().items() if name in _PUBLIC_MEMBERS}
        )

    def _key(self) -> dict[str, str]:
        try:
            key: dict[str, str] = json.loads(self._path.read_text())
        except OSError as error:
            directory = self._path.parent
            raise DevelopmentError(
                f"{directory} has no signing key: start `tasks-backend dev`"
            ) from error
        except ValueError as error:
            raise DevelopmentError(f"{self._path} holds no key: delete it") from error
        return key


_PUBLIC_MEMBERS = ("alg", "crv", "x", "kty", "kid")
