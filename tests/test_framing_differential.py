"""Compare the requests that the service and h11 read in the same bytes (FR-018, EDGE-7).

h11 is uvicorn's other parser. Where the two disagree, the service must have refused the request:
it may read fewer requests than h11, never different ones.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.protocol import Request, as_read_by_h11, as_read_by_the_service

pytestmark = pytest.mark.proves("FR-018", "EDGE-7")

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
_bodies = st.sampled_from(
    [b"", b"x", b"0\r\n\r\n", b"\r\n\r\n", SMUGGLED, SMUGGLED[:-2], SMUGGLED * 3, b"x" * 3_000]
)
_offers = st.sampled_from(
    [
        *[b""] * 2,
        b"Connection: Upgrade\r\nUpgrade: x\r\n",
        b"Upgrade: h2c\r\nConnection: keep-alive, upgrade\r\n",
        b"connection: upgrade\r\nupgrade: websocket\r\n",
        b"Connection: close\r\n",
        b"Connection: close, upgrade\r\nUpgrade: x\r\n",
        b"Expect: 100-continue\r\n",
    ]
)
_odd = st.sampled_from(
    [
        *[b""] * 8,
        b"Content-Length: 5\r\n",
        b"Content-Length : 5\r\n",
        b"Content-Length: +5\r\n",
        b"Content-Length: 5, 5\r\n",
        b"Content-Length:\r\n 5\r\n",
        b"Content-Length: 0x5\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Transfer-Encoding : chunked\r\n",
        b"Transfer-Encoding:\r\n\tchunked\r\n",
        b"Transfer-Encoding: xchunked\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"Transfer-Encoding: identity\r\n",
        b"Transfer-Encoding: CHUNKED\r\n",
        b"Transfer-Encoding: \x0bchunked\r\n",
        b"Transfer-Encoding\x00: chunked\r\n",
        b"X: y\rContent-Length: 5\r\n",
        b"X: y\nContent-Length: 5\r\n",
        b"X: \x00\r\n",
        b"Host: y\r\n",
    ]
)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """A request, mostly valid, with a body that looks like other requests."""
    method = draw(st.sampled_from([b"GET", b"POST", b"HEAD", b"DELETE", b"CONNECT", b"PURGE"]))
    target = draw(st.sampled_from([b"/", b"/a?b=c", b"/a%20b", b"*", b"http://x/"]))
    version = draw(st.sampled_from([*[b"1.1"] * 8, b"1.0", b"0.9", b"2.0"]))
    body, framing = draw(_bodies), draw(st.sampled_from(["length", "chunks", "none"]))
    headers = b"Host: x\r\n" + draw(_offers) + draw(_odd)
    if framing == "length":
        headers += b"Content-Length: %d\r\n" % len(body)
    elif framing == "chunks":
        headers += b"Transfer-Encoding: chunked\r\n"
        extension = draw(st.sampled_from([b"", b";a=b", b" ;a", b"\t", b"x"]))
        trailer = draw(
            st.sampled_from([b"", b"", b"Authorization: x\r\n", b"Content-Length: 9\r\n"])
        )
        chunk = b"%x%b\r\n%b\r\n" % (len(body), extension, body) if body else b""
        body = chunk + b"0\r\n" + trailer + b"\r\n"
    return b"%b %b HTTP/%b\r\n%b\r\n%b" % (method, target, version, headers, body)


@given(
    sent=st.lists(requests(), min_size=1, max_size=5).map(b"".join),
    sizes=st.lists(st.integers(1, 400), min_size=1, max_size=20),
)
@settings(max_examples=400, deadline=None)
def test_the_service_reads_no_request_that_h11_does_not(sent: bytes, sizes: list[int]) -> None:
    pieces: list[bytes] = []
    position = 0
    while position < len(sent):
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(sent[position : position + size])
        position += size
    found, _ = as_read_by_the_service(pieces)
    expected = [_seen(request) for request in as_read_by_h11(sent)]
    assert found == expected[: len(found)]


def _seen(request: Request) -> Request:
    """Convert h11's request to ASGI's form: an absolute target becomes its path."""
    method, target, body = request
    return method, target.removeprefix(b"http://x"), body


def test_valid_requests_are_read_as_h11_reads_them() -> None:
    """The comparison is not empty: both find all valid requests."""
    sent = b"".join(
        b"POST /%d HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: x\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (number, len(SMUGGLED), SMUGGLED)
        for number in range(50)
    )
    for size in (1, 7, 100, len(sent)):
        pieces = [sent[start : start + size] for start in range(0, len(sent), size)]
        found, answered = as_read_by_the_service(pieces)
        assert found == as_read_by_h11(sent)
        assert len(found) == answered.count(b"HTTP/1.1 200 OK") == 50
