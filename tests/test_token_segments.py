"""A token's segments are decoded in C, with the same result as by PyJWT's own loop."""

import base64
import itertools
import random

import jwt
import pytest

from tasks_backend.auth.tokens import CompactJWS, StrictJWT
from tasks_backend.testing.signing import Signer

CHARACTERS = [b"A", b"B", b"Q", b"g", b"9", b"-", b"_", b"+", b"/", b"\n", b" ", b".", b"\xc3"]


def read(kind: type[jwt.PyJWS], segment: bytes) -> bytes | None:
    """Return what a segment encodes, or None if it is refused."""
    try:
        return kind._decode_base64url_segment(segment, "header")  # noqa: SLF001 - what is replaced
    except jwt.DecodeError:
        return None


def test_short_segments_are_read_as_pyjwt_reads_them() -> None:
    """All of up to four characters: every alphabet, every length, bits that are left over."""
    for length in range(5):
        for characters in itertools.product(CHARACTERS, repeat=length):
            segment = b"".join(characters)
            assert read(CompactJWS, segment) == read(jwt.PyJWS, segment), segment


def test_long_segments_are_read_as_pyjwt_reads_them() -> None:
    draw = random.Random(7)
    for _ in range(2_000):
        data = draw.randbytes(draw.randrange(200))
        segment = bytearray(base64.urlsafe_b64encode(data).rstrip(b"="))
        assert read(CompactJWS, bytes(segment)) == data
        for _ in range(draw.randrange(3) if segment else 0):
            segment[draw.randrange(len(segment))] = draw.randrange(256)
        if b"=" not in segment:
            assert read(CompactJWS, bytes(segment)) == read(jwt.PyJWS, bytes(segment)), segment


@pytest.mark.parametrize("segment", [b"=", b"QQ==", b"QUI=", b"QUJD====", b"QQ=Q", b"=QQQ"])
def test_padding_is_refused(segment: bytes) -> None:
    """RFC 7515, 2: a compact token has none. PyJWT accepts some; docs/auth.md does not."""
    assert read(CompactJWS, segment) is None


def test_pyjwt_decodes_segments_with_it(monkeypatch: pytest.MonkeyPatch, signer: Signer) -> None:
    """If a release calls it no longer, tokens are read as before, only more slowly."""
    seen = []

    def record(segment: bytes, name: str) -> bytes:
        seen.append(name)
        return base64.urlsafe_b64decode(segment + b"==")

    monkeypatch.setattr(CompactJWS, "_decode_base64url_segment", staticmethod(record))
    StrictJWT().decode(signer.token("anna"), options={"verify_signature": False})
    assert seen == ["header", "payload", "crypto"]
