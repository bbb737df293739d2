"""The parts of a smuggling attack: an ambiguous request, and the request hidden in it."""

from collections.abc import Callable
from dataclasses import dataclass

TASKS = "/api/v1/tasks"


@dataclass(frozen=True)
class Names:
    """The unique request ids of one attempt."""

    mark: str
    """A part of its request ids."""
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
        """The id of the request that is hidden in the first one."""
        return f"hidden-{self.mark}"

    @property
    def victim(self) -> str:
        """The prefix of the victim's request ids."""
        return f"victim-{self.mark}-"


Content = Callable[[Names], bytes]


@dataclass(frozen=True)
class Form:
    """One way to send an ambiguous request."""

    name: str
    pieces: Callable[[Names], list[bytes]]
    """The bytes to send, each piece as a separate segment."""
    methods: tuple[str, ...] = ("POST",)
    """The methods of the openly sent requests, in order."""
    buried: bool = False
    """Whether the hidden bytes belong to a body by RFC 9112: they must never be served."""
    refused: bool = False
    """Whether none of its answers may be a success."""
    complete: bool = True
    """Whether the openly sent requests are complete."""


def request(
    names: Names,
    method: str,
    *lines: str,
    target: str = TASKS,
    version: str = "HTTP/1.1",
    request_id: str = "",
) -> bytes:
    """Return the head of an attacker's request, with these extra lines."""
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
    """A whole request: its answer goes to the next client on the connection."""
    head = f"GET {TASKS} HTTP/1.1\r\nHost: tasks\r\nX-Request-Id: {names.hidden}\r\n"
    return f"{head}{names.credentials}\r\n".encode()


def half(names: Names) -> bytes:
    """Half a head: the next request, with its credentials, becomes the other half."""
    return f"POST {TASKS}/{names.target}/toggle HTTP/1.1\r\nX: ".encode()


CONTENTS: dict[str, Content] = {"a whole request": whole, "half a head": half}


def padded(content: Content, size: int) -> Content:
    """Return the hidden bytes after this number of bytes that are ignored between requests.
    These are more than a proxy sends, or a server reads, at once.
    """
    return lambda names: b"\r\n" * (size // 2) + content(names)
