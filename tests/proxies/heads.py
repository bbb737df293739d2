"""Heads that are odd, long or of another version: read up to their end, or refused."""

from collections.abc import Iterator

from proxies.form import CONTENTS, TASKS, Content, Form, Names, request, whole

LINES = {
    "a folded line": "X: a\r\n b",
    "a folded length": "Content-Length:\r\n {}",
    "a length in a folded line": "X: a\r\n Content-Length: {}",
    "a length after a bare LF": "X: a\nContent-Length: {}",
    "a length after a bare CR": "X: a\rContent-Length: {}",
    "a length after a NUL": "X: a\x00Content-Length: {}",
    "a CR in a name": "X\r: a",
    "a NUL in a name": "Content\x00-Length: {}",
    "bytes above 127": "X: \xff\xfe",
    "a space before the colon": "Content-Length : {}",
    "a tab before the colon": "Content-Length\t: {}",
    "a space before the name": " Content-Length: {}",
    "no name": ": a",
    "no colon": "Content-Length {}",
    "an underscore": "Content_Length: {}",
    "a second Host": "Host: other",
    "Connection names the length": "Connection: keep-alive, Content-Length\r\nContent-Length: {}",
    "Connection names the credentials": "Connection: Authorization, X-Request-Id",
    "TE": "TE: trailers, chunked\r\nConnection: TE",
}
"""Lines that some parsers read as the length of a body, which is the hidden request."""

TARGETS = {
    "absolute": "http://tasks/api/v1/tasks",
    "absolute, another host": "http://other:99/api/v1/tasks",
    "absolute, with a user": "http://a@tasks/api/v1/tasks",
    "an asterisk": "*",
    "no slash": "api/v1/tasks",
    "two slashes": "//api/v1/tasks",
    "dots": "/api/v1/../v1/tasks/./",
    "encoded dots": "/api/v1/%2e%2e/v1/tasks",
    "an encoded line break": "/api/v1/tasks%0d%0aX:%20y",
    "an encoded NUL": "/api/v1/tasks%00",
    "a space": "/api/v1/tasks HTTP/1.1 x",
    "a tab": "/api/v1/tasks\tx",
    "a fragment": "/api/v1/tasks#x",
    "bytes above 127": "/api/v1/tasks?q=\xff",
    "8 KB": f"{TASKS}?q={'a' * 8_000}",
    "70 KB": f"{TASKS}?q={'a' * 70_000}",
    "70 KB of path": f"/api/{'a' * 70_000}",
}
VERSIONS = ("HTTP/1.2", "HTTP/2.0", "HTTP/0.9", "HTTP/01.1", "HTTP/1.1x", "http/1.1", "HTTP/1")
METHODS = ("get", "GET\t", "GE T", "TRACE", "PRI", "X" * 300, "GET\x00")


def heads() -> Iterator[Form]:
    """Yield the forms. After each head comes another attacker's request, or half of one."""
    for name, line in LINES.items():
        for named, content in CONTENTS.items():
            yield _line(f"line, {name}, {named}", line, content)
    for name, target in TARGETS.items():
        yield _followed(f"target, {name}", target=target)
    yield _followed("target, an asterisk with OPTIONS", "OPTIONS", target="*")
    for version in VERSIONS:
        yield _followed(f"version, {version!r}", version=version)
    for method in METHODS:
        yield _followed(f"method, {method[:9]!r}", method)
    yield Form("bare LFs", _bare_lfs, ("GET", "GET"))
    yield Form("bare CRs", _bare_crs, ("GET", "GET"))
    yield Form("line breaks before a request", _line_breaks, ("GET",))
    yield Form("the preface of HTTP/2", _preface, ())
    yield Form("HTTP/0.9", lambda _: [f"GET {TASKS}\r\n".encode()], (), complete=False)
    yield Form(
        "a head without its end", lambda names: [request(names, "GET")[:-2]], (), complete=False
    )


def _line(name: str, line: str, content: Content) -> Form:
    def pieces(names: Names) -> list[bytes]:
        hidden = content(names)
        return [request(names, "GET", line.format(len(hidden))) + hidden]

    return Form(name, pieces, ("GET",))


def _followed(
    name: str, method: str = "GET", *, target: str = TASKS, version: str = "HTTP/1.1"
) -> Form:
    def pieces(names: Names) -> list[bytes]:
        return [request(names, method, target=target, version=version) + whole(names)]

    return Form(name, pieces, (method, "GET"))


def _bare_lfs(names: Names) -> list[bytes]:
    return [request(names, "GET").replace(b"\r\n", b"\n") + whole(names)]


def _bare_crs(names: Names) -> list[bytes]:
    return [request(names, "GET").replace(b"\r\n", b"\r") + whole(names)]


def _line_breaks(names: Names) -> list[bytes]:
    return [b"\r\n\r\n\n" + request(names, "GET")]


def _preface(names: Names) -> list[bytes]:
    return [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", whole(names)]
