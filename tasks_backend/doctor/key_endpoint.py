"""One look at the address of the keys, under the same bounds as the service's own fetch."""

import asyncio
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from urllib.parse import urlsplit

import httpx2

from tasks_backend.auth.key_set import MAX_BYTES
from tasks_backend.doctor.clocks import ahead

_ADVICE: dict[int, str] = {
    HTTPStatus.UNAUTHORIZED: "it wants credentials, and the service has none: make it public",
    HTTPStatus.FORBIDDEN: "it refuses this machine: make it public",
    HTTPStatus.NOT_FOUND: (
        "correct BETTER_AUTH_URL or JWKS_URL, and see that Better Auth has its JWT plugin"
    ),
}


class Unusable(Exception):
    """The address gives no key set. The message says why, and what may help."""


@dataclass(frozen=True)
class Answer:
    """What the address gave. Times are in seconds."""

    body: bytes
    seconds: float
    clock_ahead: float | None


def public_address(url: str) -> str:
    """Return an address without what may be secret in it: credentials and a query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


async def ask(url: str, *, timeout: float) -> Answer:
    """Return what the address gives. Raises Unusable."""
    try:
        async with asyncio.timeout(timeout):
            return await _ask(url, timeout)
    except TimeoutError:
        raise Unusable(
            f"it did not answer within {timeout:g} s: check it and the network"
        ) from None
    except httpx2.HTTPError as error:
        raise Unusable(_reason(error)) from None


async def _ask(url: str, timeout: float) -> Answer:
    before = time.time()
    async with (
        httpx2.AsyncClient(follow_redirects=False, timeout=timeout) as client,
        client.stream("GET", url, headers={"Accept-Encoding": "identity"}) as response,
    ):
        after = time.time()
        status = response.status_code
        if response.is_redirect:
            raise Unusable(f"it redirects ({status}), which is not followed: set the final address")
        if status != HTTPStatus.OK:
            advice = _ADVICE.get(status, "look into the log of the auth server")
            raise Unusable(f"it answers with status {status}: {advice}")
        body = bytearray()
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > MAX_BYTES:
                raise Unusable(f"it sends more than {MAX_BYTES} bytes: is that the right address?")
        return Answer(
            bytes(body), after - before, _clock_ahead(response.headers, before=before, after=after)
        )


def _clock_ahead(headers: httpx2.Headers, *, before: float, after: float) -> float | None:
    """Compare clocks by the `Date` of an answer, and its `Age` if a cache gave it (RFC 9110, 9111)."""
    try:
        said = parsedate_to_datetime(headers["date"]).timestamp() + int(headers.get("age", "0"))
    except (KeyError, ValueError):
        return None
    return ahead(said, said + 1, before=before, after=after)  # a date has whole seconds only


def _reason(error: BaseException) -> str:
    for cause in _chain(error):
        if isinstance(cause, socket.gaierror):
            return "its host's name is not known: correct the address"
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not valid ({cause.verify_message}): correct it there"
        if isinstance(cause, ssl.SSLError):
            return "it does not speak TLS: is it http, or another port?"
        if isinstance(cause, ConnectionRefusedError):
            return "nothing listens there: start the auth server, or correct the address"
    return f"it broke off ({type(error).__name__}): look at the auth server and the network"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
