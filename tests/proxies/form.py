"""What a form of attack is made of: a request that can be misread, and what hides in it."""

from collections.abc import Callable
from dataclasses import dataclass

TASKS = "/api/v1/tasks"


@dataclass(frozen=True)
class Names:
    """What tells one attempt from all others."""

    mark: str
    """A part of the ids of its requests."""
    credentials: str
    """The attacker's `Authorization` line; empty for one without a token."""
    target: str
    """The id of the victim's task."""

    @property
    def attack(self) -> str:
        """The id of the request that is sent openly."""
        return f"attack-{self.mark}"

    @property
    def following(self) -> str:
        """The id of a second request that is sent openly."""
        return f"following-{self.mark}"

    @property
    def hidden(self) -> str:
        """The id of the request that hides in the first one."""
        return f"hidden-{self.mark}"

    @property
    def victim(self) -> str:
        """What the victim's request ids begin with."""
        return f"victim-{self.mark}-"


Content = Callable[[Names], bytes]


@dataclass(frozen=True)
class Form:
    """One way to send something that may be misread."""

    name: str
    pieces: Callable[[Names], list[bytes]]
    """What is sent, each piece as a segment of its own."""
    methods: tuple[str, ...] = ("POST",)
    """Of the requests that are sent openly, in their order."""
    buried: bool = False
    """Whether what hides is part of a body by RFC 9112: it must never be served."""
    refused: bool = False
    """Whether none of its answers may be a success."""
    complete: bool = True
    """Whether the requests that are sent openly are whole."""


def request(
    names: Names,
    method: str,
    *lines: str,
    target: str = TASKS,
    version: str = "HTTP/1.1",
    request_id: str = "",
) -> bytes:
    """Return the head of a request of the attacker's, with these further lines."""
    own = f"{method} {target} {version}\r\nHost: tasks\r\nX-Request-Id: {request_id or names.attack}\r\n"
    further = "".join(f"{line}\r\n" for line in lines)
    return f"{own}{names.credentials}Content-Type: application/json\r\n{further}\r\n".encode(
        "latin-1"
    )


def length(body: bytes) -> str:
    return f"Content-Length: {len(body)}"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


CHUNKED = "Transfer-Encoding: chunked"
LAST_CHUNK = b"0\r\n\r\n"


def whole(names: Names) -> bytes:
    """A whole request: its answer goes to whoever asks next on the connection."""
    head = f"GET {TASKS} HTTP/1.1\r\nHost: tasks\r\nX-Request-Id: {names.hidden}\r\n"
    return f"{head}{names.credentials}\r\n".encode()


def half(names: Names) -> bytes:
    """Half a head: the next request, with its credentials, is read as its other half."""
    return f"POST {TASKS}/{names.target}/toggle HTTP/1.1\r\nX: ".encode()


CONTENTS: dict[str, Content] = {"a whole request": whole, "half a head": half}


def padded(content: Content, size: int) -> Content:
    """Return what hides behind so many bytes that mean nothing between two requests.

    They are more than a proxy sends, or a server reads, in one piece.
    """
    return lambda names: b"\r\n" * (size // 2) + content(names)
