"""Requests with an offer to upgrade and a body: the offer does not change the body."""

from collections.abc import Callable, Iterator

from proxies.form import (
    CHUNKED,
    CONTENTS,
    LAST_CHUNK,
    Content,
    Form,
    Names,
    chunk,
    half,
    length,
    padded,
    request,
    whole,
)

FRAMINGS = ("a length", "chunks")
ONE, LATER, SLOWLY = "in one segment", "in a later segment", "byte by byte"
WEBSOCKET = (
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)
H2C = (
    "Upgrade: h2c",
    "Connection: Upgrade, HTTP2-Settings",
    "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA",
)
OFFERS = {
    "x": ("Connection: Upgrade", "Upgrade: x"),
    "h2c": H2C,
    "TLS/1.0": ("Connection: Upgrade", "Upgrade: TLS/1.0"),
    "websocket, h2c": ("Connection: keep-alive, upgrade", "Upgrade: websocket, h2c"),
    "two lines": ("Connection: Upgrade", "Upgrade: x", "Upgrade: websocket"),
    "nothing": ("Connection: Upgrade", "Upgrade:"),
}
LARGE = 100_000
PADDINGS = (0, 20_000, LARGE)
TOO_LARGE = 900_000  # more than the service accepts, less than nginx accepts


def upgrades() -> Iterator[Form]:
    """Yield the forms: framing and length of the body, method, and offered protocol."""
    for named, content in CONTENTS.items():
        for framing in FRAMINGS:
            for delivery in (ONE, LATER, SLOWLY):
                yield _offering("POST", "websocket", WEBSOCKET, framing, delivery, named, content)
            for padding in PADDINGS[1:]:
                far = padded(content, padding)
                said = f"{named} after {padding:,} bytes"
                yield _offering("POST", "websocket", WEBSOCKET, framing, ONE, said, far)
    for method in ("GET", "PUT", "PATCH", "DELETE", "OPTIONS"):
        for padding in (0, LARGE):
            said = f"half a head after {padding:,} bytes"
            far = padded(half, padding)
            yield _offering(method, "websocket", WEBSOCKET, "a length", LATER, said, far)
    for named, lines in OFFERS.items():
        for content in (whole, half):
            said = f"{content.__name__} after {LARGE:,} bytes"
            far = padded(content, LARGE)
            yield _offering("POST", named, lines, "a length", LATER, said, far)
    said = f"a whole request after {TOO_LARGE:,} bytes"
    far = padded(whole, TOO_LARGE)
    yield _offering("POST", "websocket", WEBSOCKET, "a length", LATER, said, far)
    yield from _connects()


def _offering(
    method: str,
    offered: str,
    lines: tuple[str, ...],
    framing: str,
    delivery: str,
    named: str,
    content: Content,
) -> Form:
    def pieces(names: Names) -> list[bytes]:
        body = content(names)
        if framing == "chunks":
            head, body = request(names, method, *lines, CHUNKED), chunk(body) + LAST_CHUNK
        else:
            head = request(names, method, *lines, length(body))
        return _DELIVERIES[delivery](head, body)

    name = f"{method} offers {offered}, {named} {delivery}, {framing}"
    return Form(name, pieces, (method,), buried=True)


def _slowly(head: bytes, body: bytes) -> list[bytes]:
    return [head, *(body[at : at + 1] for at in range(12)), body[12:]]


_DELIVERIES: dict[str, Callable[[bytes, bytes], list[bytes]]] = {
    ONE: lambda head, body: [head + body],
    LATER: lambda head, body: [head, body],
    SLOWLY: _slowly,
}


def _connects() -> Iterator[Form]:
    """CONNECT opens no tunnel: no resource has this method."""
    for target in ("tasks:80", "/api/v1/tasks", "http://tasks/api/v1/tasks"):
        for named, content in CONTENTS.items():
            yield _connect(f"CONNECT {target}, {named} in a later segment", target, content)


def _connect(name: str, target: str, content: Content) -> Form:
    def pieces(names: Names) -> list[bytes]:
        body = content(names)
        return [request(names, "CONNECT", length(body), target=target), body]

    return Form(name, pieces, ("CONNECT",))
