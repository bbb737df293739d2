"""A cache of the published keys. A known key is normally returned without waiting (FR-008).

    key(id) ── known, confirmed recently ───────► the key, at once
        ├───── known, overdue ─► a fetch, at most 1 s ─► the key, or InvalidToken
        │                         └── it failed or is slow ─► the key
        └───── unknown ─► the next fetch, shared by all waiting requests ─► the key, or InvalidToken
                                  └── it failed ─► AuthUnavailable

At most one fetch runs, and at most one starts per cool-down, even after a failure. An unknown id is
rejected only after a fetch that began after the request: an earlier fetch may miss a new key. The
rejection is cached for the rest of that fetch's cool-down.

Keys that are due for a refresh are fetched in the background. A process that is frozen between two
requests (AWS Lambda) may never finish that fetch, so a request with an overdue key waits for one.
"""

import asyncio
import logging
import math
import time
from collections.abc import Collection

from jwt import PyJWK

from tasks_backend.auth.clock import LEEWAY
from tasks_backend.auth.key_endpoint import KeyEndpoint, KeysResponse, KeysUnavailable
from tasks_backend.auth.keys import NotAKeySet, Published, parse_key_set
from tasks_backend.errors import AuthUnavailable, InvalidToken

logger = logging.getLogger("tasks_backend.auth")

CONFIRM_TIMEOUT = 1.0  # seconds
UNKNOWN_KEY = "unknown key"
_COLD_START_FACTOR = 8  # more may wait while no key is known: no request is served then


class KeySet:
    """The keys at one URL, cached in memory. Times are in seconds.

    At most `max_waiting` requests wait for unknown keys, so that they cannot exhaust the process.
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
    ) -> None:
        self._endpoint = KeyEndpoint(url)
        self._algorithms = tuple(algorithms)
        self._timeout = timeout
        self._cooldown = cooldown
        self._refresh_after = refresh_after
        self._max_age = max_age
        self._max_waiting = max_waiting
        self._keys: dict[str, PyJWK] = {}
        self._fetched_at = -math.inf
        self._fetch: asyncio.Task[bool] | None = None
        self._next_fetch = -math.inf
        self._unknown_kids: set[str] = set()
        self._confirming: asyncio.Task[bool] | None = None
        self._confirm_until = -math.inf
        self._waiting = 0
        self._last_logged = ""
        self._clock_is_wrong = False
        self.latest: tuple[KeysResponse, Published] | KeysUnavailable | NotAKeySet | None = None
        """The result of the last fetch, for `doctor`; None before the first."""
        self.fetches = {"ok": 0, "failed": 0}
        """Number of fetches by outcome."""

    @property
    def address(self) -> str:
        """The URL without its credentials and query, which may be secret."""
        return self._endpoint.address

    @property
    def age(self) -> float | None:
        """Seconds since the endpoint last confirmed the keys; None if it never has."""
        age = time.monotonic() - self._fetched_at
        return age if math.isfinite(age) else None

    @property
    def has_keys(self) -> bool:
        """Whether any key is known now."""
        return bool(self._known_keys())

    @property
    def waiting(self) -> int:
        """Number of requests that wait for an unknown key."""
        return self._waiting

    def refresh(self) -> None:
        """Fetch the keys in the background, unless a fetch started within the cool-down."""
        self._fetch_if_due()

    async def key(self, kid: str, deadline: float = math.inf) -> PyJWK:
        """Return the key with this id. `deadline` is on the event loop's clock.

        A known key is returned at once if it was confirmed within twice `refresh_after`, otherwise
        within CONFIRM_TIMEOUT. For an unknown key, wait at most twice the fetch timeout.

        Raises InvalidToken if the endpoint does not publish the key. Raises AuthUnavailable if the
        endpoint does not answer, or if too many requests wait for its answer.
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
            raise InvalidToken(UNKNOWN_KEY)
        if self._waiting >= self._max_waiting * (1 if self._keys else _COLD_START_FACTOR):
            raise AuthUnavailable
        self._waiting += 1
        try:
            latest = asyncio.get_running_loop().time() + 2 * self._timeout
            async with asyncio.timeout_at(min(deadline, latest)):
                return await self._wait_for_key(kid)
        except TimeoutError:
            raise AuthUnavailable from None
        finally:
            self._waiting -= 1

    async def close(self) -> None:
        """Cancel a running fetch."""
        fetch = self._running_fetch()
        if fetch is not None:
            fetch.cancel()
            await asyncio.wait([fetch])

    def _known_keys(self) -> dict[str, PyJWK]:
        """Return the keys; none if they were last confirmed more than `max_age` ago."""
        if time.monotonic() - self._fetched_at > self._max_age:
            self._keys = {}
        return self._keys

    @property
    def _is_overdue(self) -> bool:
        """Whether the last confirmation is so old that a key may have been withdrawn."""
        return time.monotonic() - self._fetched_at > 2 * self._refresh_after

    async def _confirm(self, kid: str, deadline: float) -> None:
        """Wait until a fetch confirms or withdraws the key, fails, or takes too long.

        All requests stop waiting for the same fetch at the same time; later ones do not wait.
        """
        loop = asyncio.get_running_loop()
        now = time.monotonic()
        latest = now + min(CONFIRM_TIMEOUT, (deadline - loop.time()) / 2)
        # A fetch that ran when the process was frozen may fail for that reason: await another.
        earlier = self._running_fetch()
        while self._is_overdue and (fetch := self._fetch_if_due()) is not None:
            now = time.monotonic()
            if fetch is not self._confirming:
                self._confirming, self._confirm_until = fetch, now + CONFIRM_TIMEOUT
            wait = min(latest, self._confirm_until) - now
            if wait <= 0:
                return
            await asyncio.wait([fetch], timeout=wait)
            if fetch is not earlier:
                if _succeeded(fetch) and fetch is self._fetch and kid not in self._keys:
                    self._unknown_kids.add(kid)
                return

    async def _wait_for_key(self, kid: str) -> PyJWK:
        earlier = self._running_fetch()
        while True:
            fetch = self._fetch_if_due()
            if fetch is None:
                if not _succeeded(self._fetch):
                    raise AuthUnavailable
                await asyncio.sleep(self._next_fetch - time.monotonic())
                continue
            await asyncio.wait([fetch])  # never cancels the fetch, which is shared
            if kid in self._keys:
                return self._keys[kid]
            if not _succeeded(fetch):
                raise AuthUnavailable
            if fetch is not earlier:
                if fetch is self._fetch:
                    self._unknown_kids.add(kid)
                raise InvalidToken(UNKNOWN_KEY)

    def _fetch_if_due(self) -> asyncio.Task[bool] | None:
        """Return the running fetch or a new one; None during the cool-down."""
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
        # A fetch of an earlier loop never ends. Only tests create new loops.
        return fetch if fetch.get_loop() is asyncio.get_running_loop() else None

    async def _refresh(self) -> bool:
        """Fetch the keys and return whether that succeeded; if not, the keys stay unchanged."""
        started = time.monotonic()  # the age of the answer, even if the process was frozen
        try:
            response = await self._endpoint.fetch(self._timeout)
            parsed = parse_key_set(response.body, self._algorithms)
        except (KeysUnavailable, NotAKeySet) as error:
            self._log(logging.WARNING, f"the key set at {self.address} is not usable: {error}")
            self.latest = error
            self.fetches["failed"] += 1
            return False
        self._keys, self._fetched_at = parsed.keys, started
        self.latest = response, parsed
        self._check_clock(response.clock_ahead or 0.0)
        self.fetches["ok"] += 1
        refused = ", ".join(f"{count} {reason}" for reason, count in sorted(parsed.refused.items()))
        self._log(
            logging.WARNING if refused else logging.INFO,
            f"the key set was fetched; usable keys: {len(parsed.keys)}; refused: {refused or 0}",
        )
        return True

    def _check_clock(self, ahead: float) -> None:
        """Log once if tokens are refused because two machines disagree on the time."""
        wrong = abs(ahead) > LEEWAY
        if wrong and not self._clock_is_wrong:
            logger.warning(
                "this machine's clock is %.0f s %s the auth server's, so tokens are refused:"
                " synchronise both clocks (NTP)",
                abs(ahead),
                "behind" if ahead > 0 else "ahead of",
            )
        self._clock_is_wrong = wrong

    def _log(self, level: int, message: str) -> None:
        """Log a message unless it equals the last one: an unchanged state is logged once."""
        if message != self._last_logged:
            logger.log(level, message)
            self._last_logged = message


def _succeeded(fetch: asyncio.Task[bool] | None) -> bool:
    return fetch is not None and fetch.done() and not fetch.cancelled() and fetch.result()
