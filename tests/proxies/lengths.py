"""Requests with an ambiguous end: length against chunks, and odd spellings of both."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from proxies.form import CHUNKED, CONTENTS, LAST_CHUNK, Content, Form, Names, chunk, request

JSON = b'{"title": "x"}'

ENCODINGS = {
    "a space before the colon": "Transfer-Encoding : chunked",
    "xchunked": "Transfer-Encoding: xchunked",
    "chunked, identity": "Transfer-Encoding: chunked, identity",
    "identity, chunked": "Transfer-Encoding: identity, chunked",
    "identity": "Transfer-Encoding: identity",
    "two lines": "Transfer-Encoding: chunked\r\nTransfer-Encoding: x",
    "two lines, the other first": "Transfer-Encoding: x\r\nTransfer-Encoding: chunked",
    "chunked twice": "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    "a vertical tab": "Transfer-Encoding:\x0bchunked",
    "a tab": "Transfer-Encoding:\tchunked",
    "a comma": "Transfer-Encoding: chunked,",
    "quoted": 'Transfer-Encoding: "chunked"',
    "a parameter": "Transfer-Encoding: chunked;a=b",
    "upper case": "TRANSFER-ENCODING: CHUNKED",
    "an underscore": "Transfer_Encoding: chunked",
    "folded": "Transfer-Encoding:\r\n chunked",
    "folded below another": "X: y\r\n Transfer-Encoding: chunked",
    "after a bare LF": "X: y\nTransfer-Encoding: chunked",
    "after a bare CR": "X: y\rTransfer-Encoding: chunked",
    "after a NUL": "X: y\x00\r\nTransfer-Encoding: chunked",
    "with a NUL": "Transfer-Encoding: chunked\x00",
}
"""Spellings of `Transfer-Encoding` that only some parsers read as chunked."""

LENGTHS = {
    "+{}", "-{}", "0x{:x}", "{},", "{0}, {0}", "{0}, 0", "0, {0}", "{} {}", "{}.0", "{}e0", "{};",
    "{}\x0b", "0{}", '"{}"', "{}\x00", "",
}  # fmt: skip
"""Spellings of a body's length."""

CHUNK_SIZES = (
    "0x{:x}", "+{:x}", "-{:x}", "{:x} ", " {:x}", "{:x}g", "{:x};", "{:x};a=b", '{:x};a="\r\n0"',
    "{:x}\n", "{:x}\r", "0000000000000000000{:x}", "1000000000000000{:0>1x}", "{:x},0", "",
)  # fmt: skip
"""Spellings of a chunk's size, before its CRLF."""


def lengths() -> Iterator[Form]:
    """Yield the forms. By some readings the hidden bytes are a valid request of the attacker."""
    for named, content in CONTENTS.items():
        yield _form(f"chunks before the length, {named}", content, _ends_early(CHUNKED))
        yield _form(f"a length before the chunks, {named}", content, _short(CHUNKED))
        yield _form(f"two lengths, the first right, {named}", content, _two_lengths(0, 1))
        yield _form(f"two lengths, the second right, {named}", content, _two_lengths(1, 0))
    for spelling, line in ENCODINGS.items():
        for named, content in CONTENTS.items():
            yield _form(f"encoding, {spelling}: early, {named}", content, _ends_early(line))
        yield _form(f"encoding, {spelling}: short", CONTENTS["a whole request"], _short(line))
    content = CONTENTS["a whole request"]
    for spelling in sorted(LENGTHS):
        yield _form(f"length {spelling!r}", content, _length_spelled(spelling))
    for spelling in CHUNK_SIZES:
        yield _form(f"chunk size {spelling!r}", content, _size_spelled(spelling))
    for name, end in (("nothing", b""), ("LF", b"\n"), ("CR", b"\r"), ("two letters", b"xx")):
        yield _form(f"a chunk that ends in {name}", content, _chunk_ends(end))
    yield _form("chunks in HTTP/1.0", content, _in_http_1_0)


def trailers() -> Iterator[Form]:
    """Yield requests without a token whose trailers contradict their heads."""
    for named, trailer in {
        "Authorization": lambda names: names.credentials,
        "Content-Length": lambda _: "Content-Length: 5\r\n",
        "Transfer-Encoding": lambda _: "Transfer-Encoding: chunked\r\n",
        "Upgrade": lambda _: "Connection: Upgrade\r\nUpgrade: websocket\r\n",
        "X-Request-Id": lambda _: "X-Request-Id: trailer\r\n",
    }.items():
        yield _trailing(f"a trailer {named}", trailer)


def _trailing(name: str, trailer: Callable[[Names], str]) -> Form:
    def pieces(names: Names) -> list[bytes]:
        head = request(replace(names, credentials=""), "POST", CHUNKED)
        return [head + chunk(JSON) + b"0\r\n" + trailer(names).encode() + b"\r\n"]

    return Form(name, pieces, refused=True)


Pieces = Callable[[Names, bytes], list[bytes]]


def _form(name: str, content: Content, pieces: Pieces) -> Form:
    return Form(name, lambda names: pieces(names, content(names)))


def _ends_early(line: str) -> Pieces:
    """The chunks end before the hidden bytes, the length ends after them."""

    def pieces(names: Names, hidden: bytes) -> list[bytes]:
        body = LAST_CHUNK + hidden
        return [request(names, "POST", line, f"Content-Length: {len(body)}") + body]

    return pieces


def _short(line: str) -> Pieces:
    """The length ends before the hidden bytes, the chunks end after them."""

    def pieces(names: Names, hidden: bytes) -> list[bytes]:
        body = chunk(hidden) + LAST_CHUNK
        until = body.index(b"\r\n") + 2
        return [request(names, "POST", line, f"Content-Length: {until}") + body]

    return pieces


def _two_lengths(*right: int) -> Pieces:
    def pieces(names: Names, hidden: bytes) -> list[bytes]:
        body = JSON + hidden
        values = (len(body), len(JSON))
        lines = [f"Content-Length: {values[which]}" for which in right]
        return [request(names, "POST", *lines) + body]

    return pieces


def _length_spelled(spelling: str) -> Pieces:
    def pieces(names: Names, hidden: bytes) -> list[bytes]:
        value = spelling.format(len(JSON), len(hidden))
        return [request(names, "POST", f"Content-Length: {value}") + JSON + hidden]

    return pieces


def _size_spelled(spelling: str) -> Pieces:
    def pieces(names: Names, hidden: bytes) -> list[bytes]:
        size = spelling.format(len(JSON)).encode("latin-1")
        first = size + b"\r\n" + JSON + b"\r\n"
        return [request(names, "POST", CHUNKED) + first + LAST_CHUNK + hidden]

    return pieces


def _chunk_ends(end: bytes) -> Pieces:
    def pieces(names: Names, hidden: bytes) -> list[bytes]:
        first = b"%x\r\n%s" % (len(JSON), JSON) + end
        return [request(names, "POST", CHUNKED) + first + LAST_CHUNK + hidden]

    return pieces


def _in_http_1_0(names: Names, hidden: bytes) -> list[bytes]:
    head = request(names, "POST", CHUNKED, "Connection: keep-alive", version="HTTP/1.0")
    return [head + LAST_CHUNK + hidden]
