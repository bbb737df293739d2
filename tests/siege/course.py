"""The phases of a siege: normal work, a rehearsal, the siege, the time after it, and a stop."""

import multiprocessing
import secrets
import socket
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass

from faults.check import Verdict, check
from faults.record import History, Row

from siege.attacks.kinds import BLOCKED_LOG
from siege.besieging import besiege
from siege.honest import USERS, Work, work
from siege.line import Cost
from siege.measure import Held, Rest, at_rest, held
from siege.service import REQUEST_TIMEOUT, Service
from siege.target import Target
from siege.watch import Watch

PEACE = 0.5  # of the siege's length
REHEARSAL = 0.4  # of the siege's length: one-time allocations should happen before it
SOON = 0.5  # seconds until two processes start together
AFTERWARDS = 10.0  # seconds in which the documented bounds pass
REQUESTS = 150  # on each of a few connections: more log lines than a pipe holds
FILLERS = 8


@dataclass
class Phase:
    """A period in which honest users worked."""

    history: History
    verdict: Verdict
    used: float
    """CPU of all workers, in cores."""
    waited: float
    """CPU that all workers had to wait for, in cores."""


@dataclass
class Course:
    """The actions and measurements, in this order."""

    names: tuple[str, ...]
    """Of the attacks."""
    peace: Phase
    fresh: Rest
    before: Rest
    siege: Phase
    costs: dict[str, Cost]
    watch: Watch
    after: Rest
    settled: Rest
    stop: float
    """Seconds that the service took to stop; infinity if it had to be killed."""
    tracebacks: int
    """In the log."""


Token = Callable[[str], str]
Rows = Callable[[str], list[Row]]
"""The tasks of users with this name prefix, read directly from the database."""


def take(
    service: Service,
    target: Target,
    token: Token,
    rows: Rows,
    *,
    names: tuple[str, ...],
    seconds: float,
) -> Course:
    """Run all phases."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, spawn) as pool:
        list(pool.map(_import, range(2)))
        honest = _Honest(service, pool, token, rows)
        peace = honest.finish(honest.begin("peace", time.monotonic() + SOON, seconds * PEACE))
        fresh = at_rest(service)
        pool.submit(besiege, target, names, time.monotonic(), seconds * REHEARSAL).result()
        before = at_rest(service)
        begins = time.monotonic() + SOON
        with Watch(service) as watch:
            working = honest.begin("siege", begins, seconds)
            attacking = pool.submit(besiege, target, names, begins, seconds)
            if BLOCKED_LOG in names:
                _block_the_log(service, begins + seconds / 3, begins + 2 * seconds / 3)
            costs = attacking.result()
            working.future.result()
        siege = honest.finish(working, watch.lags)
        after = at_rest(service)
    time.sleep(max(0.0, begins + seconds + AFTERWARDS - time.monotonic()))
    settled = at_rest(service)
    if BLOCKED_LOG in names:
        service.log.stop()
        _fill_the_pipe(service)
    stop = service.stop()
    return Course(
        names, peace, fresh, before, siege, costs, watch, after, settled, stop, service.tracebacks()
    )


def _import(_: int) -> None:
    """Start both processes of the pool before they are needed."""
    time.sleep(SOON)


@dataclass
class _Working:
    future: "Future[History]"
    prefix: str
    before: dict[int, Held]
    began: float


class _Honest:
    """Starts the honest users' work and checks their answers."""

    def __init__(
        self, service: Service, pool: ProcessPoolExecutor, token: Token, rows: Rows
    ) -> None:
        self._service = service
        self._pool = pool
        self._token = token
        self._rows = rows

    def begin(self, name: str, begins: float, seconds: float) -> _Working:
        prefix = f"{name}-{secrets.token_hex(4)}"
        tokens = {f"{prefix}-{n}": self._token(f"{prefix}-{n}") for n in range(USERS)}
        what = Work(self._service.port, tokens, prefix, begins, seconds, secrets.randbits(32))
        return _Working(self._pool.submit(work, what), prefix, held(self._service), begins)

    def finish(self, working: _Working, lags: Sequence[tuple[float, float]] = ()) -> Phase:
        """Check the answers after the end; a delay by the CPU lag is excused."""
        history = working.future.result()
        history.lags += lags
        now, seconds = held(self._service), time.monotonic() - working.began
        history.rows = self._rows(working.prefix)
        pairs = [(now[pid], working.before[pid]) for pid in now.keys() & working.before.keys()]
        return Phase(
            history,
            check(history, REQUEST_TIMEOUT),
            sum(end.used - begin.used for end, begin in pairs) / seconds,
            sum(end.waited - begin.waited for end, begin in pairs) / seconds,
        )


def _block_the_log(service: Service, begin: float, end: float) -> None:
    time.sleep(max(0.0, begin - time.monotonic()))
    service.log.stop()
    time.sleep(max(0.0, end - time.monotonic()))
    service.log.go_on()


def _fill_the_pipe(service: Service) -> None:
    """Send requests whose log lines exceed the pipe of a stopped reader."""
    for _ in range(FILLERS):
        with socket.create_connection(("127.0.0.1", service.port), timeout=1) as filler:
            filler.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n" * REQUESTS)
            with suppress(TimeoutError):
                while filler.recv(65536):
                    pass
