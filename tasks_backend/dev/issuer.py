"""An issuer of tokens in the very form of Better Auth's, for trying the service without it.

Its key ids start with a prefix that the service's key set refuses, unless the service was made by
`tasks-backend dev`: no setting can make a deployed service trust it.
"""

import json
import os
import secrets
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jwt.algorithms import OKPAlgorithm

from tasks_backend.auth.keys import DEVELOPMENT_PREFIX
from tasks_backend.dev.postgres import DevelopmentError

ORIGIN = "http://tasks-backend.localhost"
KEYS_PATH = "/api/auth/jwks"
DATA_DIRECTORY = "TASKS_BACKEND_DEV_DATA"  # how `dev` tells the process that it serves with
TTL = 900  # seconds, as Better Auth's
DAY = 24 * 3600  # seconds: long enough to try things without a thought


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
            raise DevelopmentError(f"{self._path} holds no Ed25519 key: remove it")
        return jwt.encode({**user, **standard}, private, algorithm="EdDSA", headers=headers)

    def make_key(self) -> None:
        """Make the signing key, unless there is one; only its owner may read it."""
        if self._path.exists():
            return
        jwk = OKPAlgorithm.to_jwk(Ed25519PrivateKey.generate(), as_dict=True)
        jwk |= {"kid": DEVELOPMENT_PREFIX + secrets.token_hex(8), "alg": "EdDSA"}
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            json.dump(jwk, file)

    def serve(self) -> ThreadingHTTPServer:
        """Publish the key set on a free loopback port, until the server is shut down."""
        public = {name: value for name, value in self._key().items() if name in _PUBLIC}
        body = json.dumps({"keys": [public]}).encode()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                known = self.path == KEYS_PATH
                self.send_response(200 if known else 404)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body) if known else 0))
                self.end_headers()
                if known:
                    self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
                """Say nothing: the service's own log is what people watch."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=server.serve_forever, daemon=True).start()
        return server

    def _key(self) -> dict[str, str]:
        try:
            key: dict[str, str] = json.loads(self._path.read_text())
        except (OSError, ValueError) as error:
            where = self._path.parent
            raise DevelopmentError(
                f"{where} has no signing key: start `tasks-backend dev`"
            ) from error
        return key


_PUBLIC = ("alg", "crv", "x", "kty", "kid")
