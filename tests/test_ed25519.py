"""Two verifiers of Ed25519 signatures, libsodium and OpenSSL, give the same answers."""

import random
import subprocess
import sys
from collections.abc import Callable

import jwt
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from jwt import PyJWK
from jwt.algorithms import OKPAlgorithm
from nacl import bindings

from tasks_backend.auth import ed25519
from tasks_backend.auth.ed25519 import Libsodium
from tasks_backend.auth.keys import parse_key_set
from tasks_backend.testing.signing import AUDIENCE, Signer, key_set

ORDER = 2**252 + 27742317777372353535851937790883648493  # of the base point (RFC 8032, 5.1)
SMALL_ORDER = [bytes.fromhex(y) for y in ("01" + "00" * 31, "ec" + "ff" * 30 + "7f", "00" * 32)]

RFC_8032 = {  # section 7.1: seed, public key, message, signature
    "TEST 1": (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        (
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
            "d25bf5f0595bbe24655141438e7a100b"
        ),
    ),
    "TEST 2": (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        (
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c"
            "387b2eaeb4302aeeb00d291612bb0c00"
        ),
    ),
    "TEST 3": (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        (
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc659"
            "4a7c15e9716ed28dc027beceea1ec40a"
        ),
    ),
}


def openssl(key: bytes, message: bytes, signature: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def libsodium(key: bytes, message: bytes, signature: bytes) -> bool:
    return Libsodium().verify(message, Ed25519PublicKey.from_public_bytes(key), signature)


def jwk(signer: Signer) -> PyJWK:
    (key,) = parse_key_set(key_set(signer), ["EdDSA"]).keys.values()
    return key


@pytest.mark.proves("FR-008")
@pytest.mark.parametrize("verify", [openssl, libsodium])
@pytest.mark.parametrize("vector", RFC_8032)
def test_the_vectors_of_rfc_8032(vector: str, verify: Callable[..., bool]) -> None:
    seed, key, message, signature = map(bytes.fromhex, RFC_8032[vector])
    assert Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw() == key
    assert verify(key, message, signature)
    assert not verify(key, message + b"\0", signature)


def flip(text: bytes, source: random.Random) -> bytes:
    changed = bytearray(text or b"\0")
    changed[source.randrange(len(changed))] ^= 1 << source.randrange(8)
    return bytes(changed)


def altered(key: bytes, message: bytes, signature: bytes, source: random.Random) -> bytes:
    """Return a signature that must not hold, or does only for a lenient verifier."""
    point, scalar = signature[:32], int.from_bytes(signature[32:], "little")
    return source.choice(
        [
            flip(signature, source),
            point + (scalar + ORDER).to_bytes(32, "little"),  # the same scalar, written otherwise
            point + (ORDER - scalar).to_bytes(32, "little"),
            point + bytes(32),
            point + b"\xff" * 32,
            bytes(32) + signature[32:],
            signature[:63],
            signature + b"\0",
            signature[:63] + message[:1],
            key + signature[32:],
            source.randbytes(64),
        ]
    )


@pytest.mark.proves("FR-009")
def test_both_agree_on_random_signatures(request: pytest.FixtureRequest) -> None:
    """`--signatures 1000000` tries a million."""
    source = random.Random(8032)
    accepted = 0
    for number in range(request.config.getoption("--signatures")):
        if number % 50 == 0:
            private = Ed25519PrivateKey.from_private_bytes(source.randbytes(32))
            key = private.public_key().public_bytes_raw()
        message = source.randbytes(source.randrange(600))
        signature = private.sign(message)
        match number % 4:
            case 1:
                signature = altered(key, message, signature, source)
            case 2:
                message = flip(message, source)
            case 3:
                key, asked = flip(key, source), key
                assert openssl(key, message, signature) == libsodium(key, message, signature)
                key = asked
        answers = {verify(key, message, signature) for verify in (openssl, libsodium)}
        assert len(answers) == 1, (key.hex(), message.hex(), signature.hex())
        accepted += answers.pop()
    assert accepted >= number // 2


@pytest.mark.parametrize("point", SMALL_ORDER)
def test_libsodium_refuses_points_of_small_order(point: bytes) -> None:
    """For such a key anybody can sign. No honest signature has such a point."""
    message = b"the signature of anybody"
    key = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    assert not libsodium(point, message, point + bytes(32))
    assert not libsodium(key, message, point + bytes(32))


def test_a_published_key_is_verified_by_libsodium_and_others_as_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    signer, verified = Signer(), []

    def crypto_sign_open(signed: bytes, public_key: bytes) -> bytes:
        verified.append(signed)
        return bindings.crypto_sign_open(signed, public_key)

    monkeypatch.setattr(ed25519, "crypto_sign_open", crypto_sign_open)
    jwt.decode(signer.token("ann"), jwk(signer), audience=AUDIENCE)
    assert len(verified) == 1
    ed448 = PyJWK({"kty": "OKP", "crv": "Ed448", "x": "A" * 76, "kid": "1"}, "EdDSA")
    assert type(ed448.Algorithm) is OKPAlgorithm


WITHOUT = """
import sys
sys.modules["nacl"] = None
from tasks_backend.auth import ed25519
from tasks_backend.auth.keys import parse_key_set
from jwt.algorithms import OKPAlgorithm
assert ed25519.VERIFIER == "OpenSSL"
(key,) = parse_key_set(sys.stdin.buffer.read(), ["EdDSA"]).keys.values()
assert type(key.Algorithm) is OKPAlgorithm
"""


def test_without_pynacl_openssl_verifies() -> None:
    subprocess.run([sys.executable, "-c", WITHOUT], input=key_set(Signer()), check=True, timeout=60)
