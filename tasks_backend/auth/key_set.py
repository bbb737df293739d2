"""The published keys, fetched without ever making a caller with a known key wait (FR-008).

    key(id) ── known ───────────────────────────────► the key, at once
        └───── unknown ─► the next fetch, shared by all who wait ─► the key, or InvalidToken
                                  └── it failed ─► AuthUnavailable

A fetch is made at most once per cool-down, whether it succeeds or not, and by one task at a time.
An unknown id is refused only on the word of a fetch that began after it was asked for: a signer
may have made the key in the same millisecond as an earlier one. That word is then remembered, for
the rest of the fetch's cool-down.
"""

import asyncio
import logging
import math
import time
from collections.abc import Collection
from urllib.parse import urlsplit

import httpx2
from jwt import PyJWK

from tasks_backend.auth.keys import NotAKeySet, parse_key_set
from tasks_backend.errors import AuthUnavailable, InvalidToken

logger = logging.getLogger("tasks_backend.auth")

MAX_BYTES = 256 * 1024
MAX_WAITING = 256  # requests: each holds a socket, and a process often has no more than 1,024
_HEADERS = {
    "Accept": "application/json",
    "Accept-Encoding": "identity",
    "User-Agent": "tasks_backend",  # some networks refuse the default names of clients
}


class KeySet:
    """The keys at one address, kept in memory. Times are in seconds."""

    def __init__(
        self,
        url: str,
        algorithms: Collection[str],
        *,
        timeout: float,
        cooldown: float,
        refresh_after: float,
        max_age: float,
        development: bool = False,
    ) -> None:
        self._url = url
        self._algorithms = tuple(algorithms)
        self._timeout = timeout
        self._cooldown = cooldown
        self._refresh_after = refresh_after
        self._max_age = max_age
        self._development = development
        self._tls = httpx2.create_ssl_context()  # here, since it keeps a loop busy for 20 ms
        self._keys: dict[str, PyJWK] = {}
        self._fetched_at = -math.inf
        self._fetch: asyncio.Task[bool] | None = None
        self._next_fetch = -math.inf
        self._absent: set[str] = set()
        self._waiting = 0
        self._said = ""
        self.fetches = {"ok": 0, "failed": 0}
        """How many there have been, by outcome."""

    @property
    def age(self) -> float | None:
        """Seconds since the endpoint last confirmed the keys; None if it never has."""
        age = time.monotonic() - self._fetched_at
        return age if math.isfinite(age) else None

    @property
    def has_keys(self) -> bool:
        """Whether any key is known at this moment."""
        return bool(self._known_keys())

    async def key(self, kid: str, deadline: float = math.inf) -> PyJWK:
        """Return the key of this id: at once if it is known, else within two timeouts, and by the
        deadline, on the loop's clock.

        Raises InvalidToken if the endpoint does not publish it. Raises AuthUnavailable if that
        cannot be known: the endpoint does not answer, or too many requests wait for its answer.
        """
        key = self._known_keys().get(kid)
        if key is not None:
            if time.monotonic() - self._fetched_at > self._refresh_after:
                self._fetch_if_due()
            return key
        if kid in self._absent and time.monotonic() < self._next_fetch:
            raise InvalidToken
        if self._waiting >= MAX_WAITING:
            raise AuthUnavailable
        self._waiting += 1
        try:
            latest = asyncio.get_running_loop().time() + 2 * self._timeout
            async with asyncio.timeout_at(min(deadline, latest)):
                return await self._key_of_a_later_fetch(kid)
        except TimeoutError:
            raise AuthUnavailable from None
        finally:
            self._waiting -= 1

    async def close(self) -> None:
        """Stop a fetch that is under way."""
        fetch = self._under_way()
        if fetch is not None:
            fetch.cancel()
            await asyncio.wait([fetch])

    def _known_keys(self) -> dict[str, PyJWK]:
        """Return the keys, unless the endpoint last confirmed them too long ago to be believed."""
        if time.monotonic() - self._fetched_at > self._max_age:
            self._keys = {}
        return self._keys

    async def _key_of_a_later_fetch(self, kid: str) -> PyJWK:
        earlier = self._under_way()
        while True:
            fetch = self._fetch_if_due()
            if fetch is None:
                if not _succeeded(self._fetch):
                    raise AuthUnavailable
                await asyncio.sleep(self._next_fetch - time.monotonic())
                continue
            await asyncio.wait([fetch])  # whoever leaves must not take the others' fetch along
            if kid in self._keys:
                return self._keys[kid]
            if not _succeeded(fetch):
                raise AuthUnavailable
            if fetch is not earlier:
                if fetch is self._fetch:
                    self._absent.add(kid)
                raise InvalidToken

    def _fetch_if_due(self) -> asyncio.Task[bool] | None:
        """Return the fetch under way, or a new one, or None while it is too early for one."""
        if self._under_way() is None:
            now = time.monotonic()
            if now < self._next_fetch:
                return None
            self._next_fetch = now + self._cooldown
            self._absent.clear()
            self._fetch = asyncio.create_task(self._refresh())
        return self._fetch

    def _under_way(self) -> asyncio.Task[bool] | None:
        fetch = self._fetch
        if fetch is None or fetch.done():
            return None
        # What an earlier loop left behind is never done; tests make new loops, servers do not.
        return fetch if fetch.get_loop() is asyncio.get_running_loop() else None

    async def _refresh(self) -> bool:
        """Fetch, and tell whether that worked; if it did not, the keys stay as they are."""
        try:
            async with asyncio.timeout(self._timeout):
                body = await self._download()
            found = parse_key_set(body, self._algorithms, development=self._development)
        except NotAKeySet as error:
            self._log(logging.WARNING, f"the key set could not be fetched: {error}")
            self.fetches["failed"] += 1
            return False
        except Exception as error:  # noqa: BLE001 - whatever a hostile endpoint provokes is an outage
            self._log(logging.WARNING, f"the key set could not be fetched: {type(error).__name__}")
            self.fetches["failed"] += 1
            return False
        self._keys, self._fetched_at = found.keys, time.monotonic()
        self.fetches["ok"] += 1
        refused = ", ".join(f"{count} {reason}" for reason, count in sorted(found.refused.items()))
        self._log(
            logging.WARNING if refused else logging.INFO,
            f"the key set was fetched; usable keys: {len(found.keys)}; refused: {refused or 0}",
        )
        return True

    async def _download(self) -> bytes:
        async with (
            httpx2.AsyncClient(
                follow_redirects=False,
                timeout=None,  # the caller's deadline is for all of it
                verify=self._tls,
                # The environment's proxy may carry TLS, which it cannot alter. Plain http it could,
                # and loopback is no business of its.
                trust_env=urlsplit(self._url).scheme == "https",
            ) as client,
            client.stream("GET", self._url, headers=_HEADERS) as response,
        ):
            if response.status_code != httpx2.codes.OK:
                raise NotAKeySet(f"status {response.status_code}")
            body = bytearray()
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > MAX_BYTES:
                    raise NotAKeySet(f"more than {MAX_BYTES} bytes")
                await asyncio.sleep(0)  # chunks of one byte must not keep the loop to themselves
            return bytes(body)

    def _log(self, level: int, message: str) -> None:
        """Log what has changed: a state that lasts is told once, not at every fetch."""
        if message != self._said:
            logger.log(level, message)
            self._said = message


def _succeeded(fetch: asyncio.Task[bool] | None) -> bool:
    return fetch is not None and fetch.done() and not fetch.cancelled() and fetch.result()
