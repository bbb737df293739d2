"""The published keys, fetched without ever making a caller with a known key wait (FR-008).

    key(id) ── known ───────────────────────────────► the key, at once
        └───── unknown ─► the next fetch, shared by all who wait ─► the key, or InvalidToken
                                  └── it failed ─► AuthUnavailable

A fetch is made at most once per cool-down, whether it succeeds or not, and by one task at a time.
An unknown id is refused only on the word of a fetch that began after it was asked for: a signer
may have made the key in the same millisecond as an earlier one. For the rest of that fetch's
cool-down its word is remembered.
"""

import asyncio
import logging
import math
import time
from collections.abc import Collection

import httpx2
from jwt import PyJWK

from tasks_backend.auth.keys import NotAKeySet, parse_key_set
from tasks_backend.errors import AuthUnavailable, InvalidToken

logger = logging.getLogger("tasks_backend.auth")

MAX_BYTES = 256 * 1024
MAX_WAITING = 256  # requests; each holds a socket, and processes often start with 1,024 of those


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
        self._tls = httpx2.create_ssl_context()  # reads for 20 ms, so never while requests wait
        self._keys: dict[str, PyJWK] = {}
        self._fetched_at = -math.inf
        self._fetch: asyncio.Task[bool] | None = None
        self._next_fetch = -math.inf
        self._absent: set[str] = set()
        self._waiting = 0
        self._said = ""

    @property
    def has_keys(self) -> bool:
        """Whether any key is known at this moment."""
        return bool(self._known_keys(time.monotonic()))

    async def key(self, kid: str) -> PyJWK:
        """Return the key of this id, which may take two timeouts if it is not known yet.

        Raises InvalidToken if the endpoint does not publish it, AuthUnavailable if that cannot be
        known because the endpoint cannot be asked, or too many requests wait for its answer.
        """
        now = time.monotonic()
        key = self._known_keys(now).get(kid)
        if key is not None:
            if now - self._fetched_at > self._refresh_after:
                self._fetch_if_due()
            return key
        if kid in self._absent and now < self._next_fetch:
            raise InvalidToken
        if self._waiting >= MAX_WAITING:
            raise AuthUnavailable
        self._waiting += 1
        try:
            async with asyncio.timeout(2 * self._timeout):
                return await self._key_from_a_later_fetch(kid)
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

    def _known_keys(self, now: float) -> dict[str, PyJWK]:
        """Return the keys that the endpoint confirmed not too long ago: it may retire any."""
        if now - self._fetched_at > self._max_age:
            self._keys = {}
        return self._keys

    async def _key_from_a_later_fetch(self, kid: str) -> PyJWK:
        too_early = self._under_way()
        while True:
            fetch = self._fetch_if_due()
            if fetch is None:
                if not _succeeded(self._fetch):  # to ask again so soon would hammer what is down
                    raise AuthUnavailable
                await asyncio.sleep(self._next_fetch - time.monotonic())
                continue
            await asyncio.wait([fetch])  # and not the task itself: who leaves must not cancel it
            if kid in self._keys:
                return self._keys[kid]
            if not _succeeded(fetch):
                raise AuthUnavailable
            if fetch is not too_early:
                if fetch is self._fetch:
                    self._absent.add(kid)
                raise InvalidToken

    def _fetch_if_due(self) -> asyncio.Task[bool] | None:
        """Return the fetch under way, a new one, or None while it is too early for one."""
        now = time.monotonic()
        if self._under_way() is None:
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
        # A task whose loop is gone is never done; tests make a new loop, servers do not.
        return fetch if fetch.get_loop() is asyncio.get_running_loop() else None

    async def _refresh(self) -> bool:
        """Fetch, and tell whether it succeeded; the keys stay as they are if it did not."""
        try:
            async with asyncio.timeout(self._timeout):
                body = await self._download()
            published = parse_key_set(body, self._algorithms, development=self._development)
        except NotAKeySet as error:
            self._say(logging.WARNING, f"the key set could not be fetched: {error}")
            return False
        except Exception as error:  # noqa: BLE001 - whatever a hostile endpoint provokes is an outage
            self._say(logging.WARNING, f"the key set could not be fetched: {type(error).__name__}")
            return False
        self._keys, self._fetched_at = published.keys, time.monotonic()
        refused = ", ".join(f"{count} {why}" for why, count in sorted(published.refused.items()))
        self._say(
            logging.WARNING if refused else logging.INFO,
            f"the key set has {len(self._keys)} usable keys" + (f"; not: {refused}" if refused else ""),
        )
        return True

    async def _download(self) -> bytes:
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        async with (
            httpx2.AsyncClient(follow_redirects=False, timeout=None, verify=self._tls) as client,
            client.stream("GET", self._url, headers=headers) as response,
        ):
            if response.status_code != httpx2.codes.OK:
                raise NotAKeySet(f"status {response.status_code}")
            body = bytearray()
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > MAX_BYTES:
                    raise NotAKeySet(f"more than {MAX_BYTES} bytes")
                await asyncio.sleep(0)  # a quarter of a million chunks may be in that, of a byte
            return bytes(body)

    def _say(self, level: int, message: str) -> None:
        """Log what has changed: a state that lasts is told once, not at every fetch."""
        if message != self._said:
            logger.log(level, message)
            self._said = message


def _succeeded(fetch: asyncio.Task[bool] | None) -> bool:
    return fetch is not None and fetch.done() and not fetch.cancelled() and fetch.result()
