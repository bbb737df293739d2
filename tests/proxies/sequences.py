"""Several requests on a connection: answers without bodies, early answers, and ends."""

from collections.abc import Iterator

from proxies.form import (
    CHUNKED,
    CONTENTS,
    LAST_CHUNK,
    TASKS,
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
from proxies.upgrades import LARGE, TOO_LARGE


def sequences() -> Iterator[Form]:
    """Yield the forms."""
    yield from _without_bodies()
    yield from _with_unusual_bodies()
    yield from _expectations()
    yield from _ends()
    yield from _early_answers()


def _without_bodies() -> Iterator[Form]:
    """The answer's head may announce a body; none may be sent or waited for."""
    own = f"{TASKS}/{{target}}"
    yield _then("HEAD of the list", "HEAD", _following)
    yield _then("HEAD of a task", "HEAD", _following, target=own)
    yield _then("HEAD of nothing", "HEAD", _following, target="/nothing")
    yield _then("HEAD of a probe", "HEAD", _following, target="/livez")
    yield _then("HEAD with a length", "HEAD", _following, "Content-Length: 0")
    yield _then("GET with a tag", "GET", _following, 'If-None-Match: "1"', target=own)
    yield _then("GET with any tag", "GET", _following, "If-None-Match: *")
    date = "If-Modified-Since: Fri, 31 Dec 2100 00:00:00 GMT"
    yield _then("GET with a date", "GET", _following, date, target="/livez")
    yield _then("GET of a range", "GET", _following, "Range: bytes=0-9", target="/openapi.json")
    yield _then("DELETE", "DELETE", _following, target=own)
    yield _then("OPTIONS", "OPTIONS", _following, "Origin: https://app.example.com")


def _with_unusual_bodies() -> Iterator[Form]:
    """A body where there usually is none is still a body."""
    for method in ("GET", "HEAD", "DELETE", "OPTIONS", "TRACE"):
        for named, content in CONTENTS.items():
            yield _with_body(f"{method} with {named} as its body", method, content)
    for method in ("GET", "POST"):
        yield _with_body(f"{method} with {LARGE:,} bytes", method, padded(half, LARGE))
    for method in ("GET", "DELETE"):
        yield _in_chunks(f"{method} in chunks", method)


def _expectations() -> Iterator[Form]:
    """`Expect: 100-continue`, with and without an interim answer."""
    for value in ("100-continue", "100-Continue, x", "x"):
        line = f"Expect: {value}"
        yield _with_body(f"{line}, the body at once", "POST", whole, line)
        yield _with_body(f"{line}, the body later", "POST", half, line, later=True)
        yield _then(f"{line}, no body", "GET", _following, line)
    yield _unfinished("Expect, the body never", 50, b"", "Expect: 100-continue")


def _ends() -> Iterator[Form]:
    """Bytes after the last request of a connection."""
    for named, content in CONTENTS.items():
        for line in ("close", "close, keep-alive"):
            name = f"{line}, then {named}"
            yield _then(name, "GET", content, f"Connection: {line}", answers=1)
        for line in ("Connection: x", "Connection: keep-alive"):
            name = f"HTTP/1.0, {line}, then {named}"
            yield _then(name, "GET", content, line, version="HTTP/1.0", answers=1)
    yield _then("five at once", "GET", lambda names: _following(names) * 4, answers=5)


def _early_answers() -> Iterator[Form]:
    """An answer before the end of the body: the rest of the body is still a body."""
    for size in (LARGE, TOO_LARGE):
        for named, content in CONTENTS.items():
            for method in ("POST", "PUT"):
                name = f"{method}, {named} after {size:,} bytes, in pieces"
                yield _with_body(name, method, padded(content, size), later=True)
        yield _followed(f"{size:,} bytes, then another request", size)
        yield _unfinished(f"{size:,} bytes announced, 1,000 sent", size, b" " * 1_000)


def _then(
    name: str,
    method: str,
    then: Content,
    *lines: str,
    target: str = TASKS,
    version: str = "HTTP/1.1",
    answers: int = 2,
) -> Form:
    """Return a request without a body and, in the same segment, the following bytes."""

    def pieces(names: Names) -> list[bytes]:
        asked = target.format(target=names.target)
        return [request(names, method, *lines, target=asked, version=version) + then(names)]

    return Form(name, pieces, (method, "GET", "GET", "GET", "GET")[:answers])


def _with_body(name: str, method: str, content: Content, *lines: str, later: bool = False) -> Form:
    def pieces(names: Names) -> list[bytes]:
        body = content(names)
        head = request(names, method, *lines, length(body))
        return [head, body[:50_000], body[50_000:]] if later else [head + body]

    return Form(name, pieces, (method,), buried=True)


def _in_chunks(name: str, method: str) -> Form:
    def pieces(names: Names) -> list[bytes]:
        return [request(names, method, CHUNKED) + chunk(whole(names)) + LAST_CHUNK]

    return Form(name, pieces, (method,), buried=True)


def _followed(name: str, size: int) -> Form:
    def pieces(names: Names) -> list[bytes]:
        body = b" " * size
        return [request(names, "POST", length(body)), body, _following(names)]

    return Form(name, pieces, ("POST", "GET"))


def _unfinished(name: str, announced: int, sent: bytes, *lines: str) -> Form:
    def pieces(names: Names) -> list[bytes]:
        return [request(names, "POST", *lines, f"Content-Length: {announced}") + sent]

    return Form(name, pieces, ("POST",), complete=False)


def _following(names: Names) -> bytes:
    return request(names, "GET", request_id=names.following)
