"""The published keys, fetched without ever making a caller with a known key wait (FR-008).

    key(id) ── known ───────────────────────────────► the key, at once
        └───── unknown ─► the next fetch, shared by all who wait ─► the key, or InvalidToken
                                  └── it failed ─► AuthUnavailable

A fetch is made at most once per cool-down, whether it succeeds or not, and by one task at a time.
An unknown id is refused only on the word of a fetch that began after it was asked for: a signer
may have made the key in the same millisecond as an earlier one.
"""

import asyncio
import logging
from collections.abc import Collection

import httpx2
from jwt import PyJWK

from tasks_backend.auth.keys import NotAKeySet, parse_key_set
from tasks_backend.errors import AuthUnavailable, InvalidToken

logger = logging.getLogger("tasks_backend.auth")

MAX_BYTES = 256 * 1024
MAX_REMEMBERED = 1024


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
        self._loop: asyncio.AbstractEventLoop | None = None
        self._fetch: asyncio.Task[None] | None = None
        self._began_at = 0.0
        self._next_fetch = 0.0
        self._keys: dict[str, PyJWK] = {}
        self._fetched_at: float | None = None
        self._healthy = False
        self._unknown: dict[str, float] = {}

    @property
    def has_keys(self) -> bool:
        """Whether any key is known at this moment."""
        return bool(self._keys)

    async def key(self, kid: str) -> PyJWK:
        """Return the key of this id.

        Raises InvalidToken if the endpoint does not publish it, AuthUnavailable if that cannot be
        known because the endpoint cannot be asked.
        """
        loop = self._on_this_loop()
        asked_at = loop.time()
        self._expire(asked_at)
        key = self._keys.get(kid)
        if key is not None:
            if asked_at - (self._fetched_at or 0.0) > self._refresh_after:
                self._start_fetch(loop)
            return key
        if self._unknown.get(kid, 0.0) > asked_at:
            raise InvalidToken
        key = await self._key_from_a_later_fetch(kid, asked_at, loop)
        if key is None:
            self._remember_unknown(kid, loop.time())
            raise InvalidToken
        return key

    async def close(self) -> None:
        """Stop a fetch that is under way."""
        if self._fetch is not None:
            self._fetch.cancel()
            await asyncio.gather(self._fetch, return_exceptions=True)

    async def _key_from_a_later_fetch(
        self, kid: str, asked_at: float, loop: asyncio.AbstractEventLoop
    ) -> PyJWK | None:
        while True:
            fetch = self._start_fetch(loop)
            if fetch is None:
                if not self._healthy:  # asking again so soon would only hammer what is down
                    raise AuthUnavailable
                await asyncio.sleep(self._next_fetch - loop.time())
                continue
            began_at = self._began_at
            await asyncio.shield(fetch)
            if kid in self._keys:
                return self._keys[kid]
            if began_at >= asked_at:
                if not self._healthy:
                    raise AuthUnavailable
                return None

    def _start_fetch(self, loop: asyncio.AbstractEventLoop) -> "asyncio.Task[None] | None":
        """Return the fetch under way, a new one, or None while it is too early for one."""
        if self._fetch is None and loop.time() >= self._next_fetch:
            self._began_at = loop.time()
            self._next_fetch = self._began_at + self._cooldown
            self._fetch = loop.create_task(self._refresh(loop))
        return self._fetch

    async def _refresh(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                body = await self._download()
            self._keys = parse_key_set(body, self._algorithms, development=self._development)
            self._fetched_at = loop.time()
            self._healthy = True
        except Exception as error:  # noqa: BLE001 - whatever a hostile endpoint provokes is an outage
            self._healthy = False
            logger.warning("the key set could not be fetched: %s", type(error).__name__)
        finally:
            self._fetch = None

    async def _download(self) -> bytes:
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        async with (
            httpx2.AsyncClient(follow_redirects=False, timeout=self._timeout) as client,
            client.stream("GET", self._url, headers=headers) as response,
        ):
            if response.status_code != httpx2.codes.OK:
                raise NotAKeySet(f"status {response.status_code}")
            body = bytearray()
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > MAX_BYTES:
                    raise NotAKeySet(f"more than {MAX_BYTES} bytes")
            return bytes(body)

    def _expire(self, now: float) -> None:
        """Drop keys that the endpoint has not confirmed for too long: it may have retired them."""
        if self._fetched_at is not None and now - self._fetched_at > self._max_age:
            self._keys = {}
            self._fetched_at = None
            self._healthy = False

    def _remember_unknown(self, kid: str, now: float) -> None:
        if len(self._unknown) >= MAX_REMEMBERED:
            self._unknown = {k: until for k, until in self._unknown.items() if until > now}
        if len(self._unknown) < MAX_REMEMBERED:
            self._unknown[kid] = now + self._cooldown

    def _on_this_loop(self) -> asyncio.AbstractEventLoop:
        """Return the running loop; its clock is a new one, so nothing older counts."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._fetch, self._next_fetch = loop, None, 0.0
            self._fetched_at = loop.time() if self._keys else None
            self._unknown = {}
        return loop
