"""Ed25519 signatures (RFC 8032) by libsodium, in about half of OpenSSL's time (decision 0025).

PyJWT still reads the tokens; only the signature check is replaced. The extra `sodium` installs PyNaCl, the
binding to libsodium. Without it, OpenSSL verifies.
"""

from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from jwt import PyJWK
from jwt.algorithms import OKPAlgorithm

try:
    from nacl.bindings import crypto_sign_open
    from nacl.exceptions import BadSignatureError
except ImportError:  # not installed, or its library does not load
    VERIFIER = "OpenSSL"
else:
    VERIFIER = "libsodium"

SIGNATURE_BYTES = 64


class Libsodium(OKPAlgorithm):
    """PyJWT's algorithm EdDSA for Ed25519 keys. Beyond RFC 8032, it refuses points of small order."""

    def verify(self, msg: str | bytes, key: Any, sig: str | bytes) -> bool:
        """Return whether this is the key's signature of the message."""
        if not isinstance(msg, bytes) or not isinstance(sig, bytes):
            raise TypeError("message and signature are bytes")
        if len(sig) != SIGNATURE_BYTES:  # libsodium takes both as one text, and splits it there
            return False
        try:
            crypto_sign_open(sig + msg, key.public_bytes_raw())
        except BadSignatureError:
            return False
        return True


def use_libsodium(key: PyJWK) -> None:
    """Let libsodium verify the signatures of a key, if it is an Ed25519 key and PyNaCl is installed."""
    if VERIFIER == "libsodium" and isinstance(key.key, Ed25519PublicKey):
        key.Algorithm = Libsodium()
