"""Fetch the key set once, with the same limits as the service's own fetch."""

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
from tasks_backend.doctor.clocks import clock_offset

_ADVICE: dict[int, str] = {
    HTTPStatus.UNAUTHORIZED: "it requires credentials, but the service has none: make it public",
    HTTPStatus.FORBIDDEN: "it refuses this machine: make it public",
    HTTPStatus.NOT_FOUND: (
        "correct BETTER_AUTH_URL or JWKS_URL, and check that Better Auth has its JWT plugin"
    ),
}


class KeysUnavailable(Exception):
    """The URL returns no key set. The message says why, and what may help."""


@dataclass(frozen=True)
class KeysResponse:
    """The response of the URL. Times are in seconds."""

    body: bytes
    seconds: float
    clock_ahead: float | None


def public_address(url: str) -> str:
    """Return a URL without its credentials and query, which may be secret."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


async def fetch_keys(url: str, *, timeout: float) -> KeysResponse:
    """Fetch the URL of the keys. Raises KeysUnavailable."""
    try:
        async with asyncio.timeout(timeout):
            return await _fetch(url, timeout)
    except TimeoutError:
        raise KeysUnavailable(
            f"it did not answer within {timeout:g} s: check it and the network"
        ) from None
    except httpx2.HTTPError as error:
        raise KeysUnavailable(_reason(error)) from None


async def _fetch(url: str, timeout: float) -> KeysResponse:
    before = time.time()
    async with (
        httpx2.AsyncClient(follow_redirects=False, timeout=timeout) as client,
        client.stream("GET", url, headers={"Accept-Encoding": "identity"}) as response,
    ):
        after = time.time()
        status = response.status_code
        if response.is_redirect:
            raise KeysUnavailable(
                f"it redirects ({status}); redirects are not followed: set the final address"
            )
        if status != HTTPStatus.OK:
            advice = _ADVICE.get(status, "check the log of the auth server")
            raise KeysUnavailable(f"it answers with status {status}: {advice}")
        body = bytearray()
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > MAX_BYTES:
                raise KeysUnavailable(
                    f"it sends more than {MAX_BYTES} bytes: is that the right address?"
                )
        return KeysResponse(
            bytes(body), after - before, _clock_ahead(response.headers, before=before, after=after)
        )


def _clock_ahead(headers: httpx2.Headers, *, before: float, after: float) -> float | None:
    """Compare clocks by the response's `Date`, and its `Age` if it was cached (RFC 9110, 9111)."""
    try:
        date = parsedate_to_datetime(headers["date"]).timestamp() + int(headers.get("age", "0"))
    except (KeyError, ValueError):
        return None
    return clock_offset(date, date + 1, before=before, after=after)  # a date has whole seconds only


def _reason(error: BaseException) -> str:
    for cause in _chain(error):
        if isinstance(cause, socket.gaierror):
            return "its host's name is not known: correct the address"
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not valid ({cause.verify_message}): replace it"
        if isinstance(cause, ssl.SSLError):
            return "it does not speak TLS: is it http, or another port?"
        if isinstance(cause, ConnectionRefusedError):
            return "nothing listens there: start the auth server, or correct the address"
    return f"it broke off ({type(error).__name__}): check the auth server and the network"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
