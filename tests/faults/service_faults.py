"""The service's processes end, or its key set endpoint fails."""

from concurrent.futures import ThreadPoolExecutor

from support.key_server import failing_answer

from faults.deployment import SIDES, Service
from faults.fault import Fault


class KillWorker(Fault):
    name = "worker kill -9"

    def inject(self) -> None:
        self._gone = {}
        for side in SIDES:
            worker = self.chance.choice(self.at.services[side].workers())
            self._gone[side] = {worker.pid}
            worker.kill()

    def heal(self) -> None:
        for side, gone in self._gone.items():
            self.at.services[side].wait_for_workers_without(gone)


class ReplaceWorkers(Fault):
    name = "workers replaced (SIGHUP)"

    def inject(self) -> None:
        self._gone = {
            side: {worker.pid for worker in self.at.services[side].workers()} for side in SIDES
        }
        for side in SIDES:
            self.at.services[side].reload()

    def heal(self) -> None:
        for side, gone in self._gone.items():
            self.at.services[side].wait_for_workers_without(gone)


class RestartService(Fault):
    name = "service restarted (SIGTERM)"

    def inject(self) -> None:
        with ThreadPoolExecutor() as both:
            list(both.map(Service.stop, self.at.services.values()))

    def heal(self) -> None:
        with ThreadPoolExecutor() as both:
            list(both.map(Service.start, self.at.services.values()))


class KeysDown(Fault):
    name = "key set down"
    lasts = (7.0, 9.0)  # beyond JWKS_MAX_AGE: at the end no key is trusted any more

    def inject(self) -> None:
        self._answer = self.at.key_server.answer
        self.at.key_server.answer = failing_answer

    def heal(self) -> None:
        self.at.key_server.answer = self._answer
