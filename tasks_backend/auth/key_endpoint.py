"""Fetches the published keys from their endpoint, within limits. An error says why in one sentence."""

import asyncio
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import urlsplit

import httpx2

from tasks_backend.auth.clock import offset_of

MAX_BYTES = 256 * 1024
_HEADERS = {
    "Accept": "application/json",
    "Accept-Encoding": "identity",
    "User-Agent": "tasks_backend",  # some networks block the default names of clients
}
_ADVICE: dict[int, str] = {
    HTTPStatus.UNAUTHORIZED: "it requires credentials, but the service has none: make it public",
    HTTPStatus.FORBIDDEN: "it refuses this machine: make it public",
    HTTPStatus.NOT_FOUND: (
        "correct BETTER_AUTH_URL or JWKS_URL, and check that Better Auth has its JWT plugin"
    ),
}


class KeysUnavailable(Exception):
    """The endpoint returns no key set. The message says why and what may help, and never quotes the response."""


@dataclass(frozen=True)
class KeysResponse:
    """A successful response. Times are in seconds since the epoch."""

    body: bytes
    headers: httpx2.Headers
    sent_at: float
    received_at: float

    @property
    def clock_ahead(self) -> float | None:
        """Seconds by which the endpoint's clock is ahead of ours; None if it does not say."""
        return offset_of(self.headers, before=self.sent_at, after=self.received_at)


class KeyEndpoint:
    """One URL. A fetch has one total timeout and a limit of bytes, and follows no redirect."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._tls = httpx2.create_ssl_context()  # here: it would block the event loop for 20 ms

    @property
    def address(self) -> str:
        """The URL without its credentials and query, which may be secret."""
        parts = urlsplit(self._url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"

    async def fetch(self, timeout: float) -> KeysResponse:
        """Fetch the URL once, within `timeout` seconds. Raises KeysUnavailable."""
        try:
            async with asyncio.timeout(timeout):
                return await self._fetch()
        except KeysUnavailable:
            raise
        except TimeoutError:
            reason = f"it did not answer within {timeout:g} s: check it and the network"
        except Exception as error:  # noqa: BLE001 - a hostile endpoint may cause any error
            reason = _reason(error)
        raise KeysUnavailable(reason)

    async def _fetch(self) -> KeysResponse:
        sent_at = time.time()
        async with (
            httpx2.AsyncClient(
                follow_redirects=False,
                timeout=None,  # the caller's timeout covers the whole download
                verify=self._tls,
                # Use the environment's proxy for https only: it could change plain http, and
                # loopback needs no proxy.
                trust_env=urlsplit(self._url).scheme == "https",
            ) as client,
            client.stream("GET", self._url, headers=_HEADERS) as response,
        ):
            received_at = time.time()
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
                await asyncio.sleep(0)  # many small chunks must not block the loop
            return KeysResponse(bytes(body), response.headers, sent_at, received_at)


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
