"""The published keys, fetched without ever making a caller with a known key wait (FR-008).

    key(id) ── known, confirmed lately ─────────────► the key, at once
        ├───── known, not confirmed for long ─► a fetch, for a second ─► the key, or InvalidToken
        │                         └── it failed ─► the key
        └───── unknown ─► the next fetch, shared by all who wait ─► the key, or InvalidToken
                                  └── it failed ─► AuthUnavailable

A fetch is made at most once per cool-down, whether it succeeds or not, and by one task at a time.
An unknown id is refused only on the word of a fetch that began after it was asked for: a signer
may have made the key in the same millisecond as an earlier one. That word is then remembered, for
the rest of the fetch's cool-down.

A key that is due for a refresh is fetched in the background. A process that is frozen between two
requests never finishes that, so a key that is overdue waits for a fetch.
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
CONFIRM_TIMEOUT = 1.0  # seconds
_COLD_START_FACTOR = 8  # more may wait while no key is known, since none is served meanwhile
_HEADERS = {
    "Accept": "application/json",
    "Accept-Encoding": "identity",
    "User-Agent": "tasks_backend",  # some networks refuse the default names of clients
}


class KeySet:
    """The keys at one address, kept in memory. Times are in seconds.

    At most `max_waiting` requests wait for unknown keys, so that they do not use up the process.
    """

    def __init__(
        self,
        url: str,
        algorithms: Collection[str],
        *,
        timeout: float,
        cooldown: float,
        refresh_after: float,
        max_age: float,
        max_waiting: int,
        development: bool = False,
    ) -> None:
        self._url = url
        self._algorithms = tuple(algorithms)
        self._timeout = timeout
        self._cooldown = cooldown
        self._refresh_after = refresh_after
        self._max_age = max_age
        self._max_waiting = max_waiting
        self._development = development
        self._tls = httpx2.create_ssl_context()  # here, since it keeps a loop busy for 20 ms
        self._keys: dict[str, PyJWK] = {}
        self._fetched_at = -math.inf
        self._fetch: asyncio.Task[bool] | None = None
        self._next_fetch = -math.inf
        self._unknown_kids: set[str] = set()
        self._confirming: asyncio.Task[bool] | None = None
        self._confirm_until = -math.inf
        self._waiting = 0
        self._last_logged = ""
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

    @property
    def waiting(self) -> int:
        """How many requests wait for a key that is not known."""
        return self._waiting

    def refresh(self) -> None:
        """Fetch the keys in the background, unless a fetch began within the cool-down."""
        self._fetch_if_due()

    async def key(self, kid: str, deadline: float = math.inf) -> PyJWK:
        """Return the key of this id by the deadline, on the loop's clock.

        A known key is returned at once if it was confirmed within twice `refresh_after`, else
        within CONFIRM_TIMEOUT. An unknown one is waited for within two timeouts.

        Raises InvalidToken if the endpoint does not publish it. Raises AuthUnavailable if that
        cannot be known: the endpoint does not answer, or too many requests wait for its answer.
        """
        key = self._known_keys().get(kid)
        if key is not None and self._is_overdue:
            await self._confirm(kid, deadline)
            key = self._known_keys().get(kid)
        if key is not None:
            if time.monotonic() - self._fetched_at > self._refresh_after:
                self.refresh()
            return key
        if kid in self._unknown_kids and time.monotonic() < self._next_fetch:
            raise InvalidToken
        if self._waiting >= self._max_waiting * (1 if self._keys else _COLD_START_FACTOR):
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
        fetch = self._running_fetch()
        if fetch is not None:
            fetch.cancel()
            await asyncio.wait([fetch])

    def _known_keys(self) -> dict[str, PyJWK]:
        """Return the keys, unless the endpoint last confirmed them too long ago to be believed."""
        if time.monotonic() - self._fetched_at > self._max_age:
            self._keys = {}
        return self._keys

    @property
    def _is_overdue(self) -> bool:
        """Whether the keys were not confirmed for so long that one may have been withdrawn."""
        return time.monotonic() - self._fetched_at > 2 * self._refresh_after

    async def _confirm(self, kid: str, deadline: float) -> None:
        """Wait until a fetch confirms or withdraws the key, fails, or has taken too long.

        Requests that wait for the same fetch stop together, and nobody waits for it after that.
        """
        loop = asyncio.get_running_loop()
        now = time.monotonic()
        latest = now + min(CONFIRM_TIMEOUT, (deadline - loop.time()) / 2)
        # It may have been under way when the process was frozen, and fail now for that reason.
        earlier = self._running_fetch()
        while self._is_overdue and (fetch := self._fetch_if_due()) is not None:
            now = time.monotonic()
            if fetch is not self._confirming:
                self._confirming, self._confirm_until = fetch, now + CONFIRM_TIMEOUT
            patience = min(latest, self._confirm_until) - now
            if patience <= 0:
                return
            await asyncio.wait([fetch], timeout=patience)
            if fetch is not earlier:
                if _succeeded(fetch) and fetch is self._fetch and kid not in self._keys:
                    self._unknown_kids.add(kid)
                return

    async def _key_of_a_later_fetch(self, kid: str) -> PyJWK:
        earlier = self._running_fetch()
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
                    self._unknown_kids.add(kid)
                raise InvalidToken

    def _fetch_if_due(self) -> asyncio.Task[bool] | None:
        """Return the fetch under way, or a new one, or None while it is too early for one."""
        if self._running_fetch() is None:
            now = time.monotonic()
            if now < self._next_fetch:
                return None
            self._next_fetch = now + self._cooldown
            self._unknown_kids.clear()
            self._fetch = asyncio.create_task(self._refresh())
        return self._fetch

    def _running_fetch(self) -> asyncio.Task[bool] | None:
        fetch = self._fetch
        if fetch is None or fetch.done():
            return None
        # What an earlier loop left behind is never done; tests make new loops, servers do not.
        return fetch if fetch.get_loop() is asyncio.get_running_loop() else None

    async def _refresh(self) -> bool:
        """Fetch, and tell whether that worked; if it did not, the keys stay as they are."""
        began = time.monotonic()  # the answer may be as old as that, if the process was frozen
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
        self._keys, self._fetched_at = found.keys, began
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
        if message != self._last_logged:
            logger.log(level, message)
            self._last_logged = message


def _succeeded(fetch: asyncio.Task[bool] | None) -> bool:
    return fetch is not None and fetch.done() and not fetch.cancelled() and fetch.result()
