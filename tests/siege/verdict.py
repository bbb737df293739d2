"""What must be true after a siege. No check is about latency."""

import math
from collections import Counter
from collections.abc import Iterator

from siege.attacks.kinds import ATTACKS
from siege.course import Course, Phase
from siege.measure import GAUGES, Rest
from siege.watch import Watch

GROWTH = 100.0  # MiB per worker, during the siege
KEPT = 10.0  # MiB per worker, afterwards
LATE = 5.0  # seconds of grace for a connection's timeout, beside the CPU lag
ENOUGH_DENIED = 0.5  # seconds without CPU that excuse a refusal after POOL_TIMEOUT, which is 2 s
POOL = 10  # connections to the database, which may be opened at any time


def violations(course: Course) -> list[str]:
    """Return a sentence for each broken promise."""
    return [
        *(f"in peace: {sentence}" for sentence in _honest(course.peace)),
        *_honest(course.siege, course.watch),
        *_attacks(course),
        *_held(course),
        *_alive(course),
    ]


def failures(phase: Phase) -> Counter[str]:
    """Count the failures that honest users got, by problem code."""
    return Counter(
        attempt.code or attempt.error or str(attempt.status)
        for operation in phase.history.operations
        for attempt in operation.attempts
        if attempt.status == 0 or attempt.status >= 500
    )


def _honest(phase: Phase, watch: Watch | None = None) -> Iterator[str]:
    excused = _refused_without_cpu(phase, watch) if watch else 0
    for said, times in (failures(phase) - Counter(overloaded=excused)).items():
        yield f"honest requests failed: {times} times {said}"
    for kind, found in phase.verdict.findings.items():
        yield f"honest requests, {kind}: {len(found)}, such as {found[0]}"


def _refused_without_cpu(phase: Phase, watch: Watch) -> int:
    """Count the requests that waited too long because other processes had the CPU."""
    return sum(
        attempt.code == "overloaded"
        and watch.denied(attempt.sent_at, attempt.answered_at) > ENOUGH_DENIED
        for operation in phase.history.operations
        for attempt in operation.attempts
    )


def _attacks(course: Course) -> Iterator[str]:
    late = LATE + course.watch.denied(0.0, math.inf)
    for name, cost in course.costs.items():
        attack = ATTACKS[name]
        for what, times in cost.breaches.items():
            yield f"{name}: {what} ({times} times)"
        if attack.answer and not cost.answers[attack.answer]:
            yield f"{name}: never answered {attack.answer}"
        if attack.ends is not None and cost.longest > attack.ends + late:
            yield f"{name}: a connection lasted {cost.longest:.1f} s, for {attack.ends:.0f} s"


def _held(course: Course) -> Iterator[str]:
    if not set(course.fresh.workers) == set(course.watch.most) == set(course.settled.workers):
        yield "a worker died"
        return
    for pid, before in course.before.workers.items():
        most, settled = course.watch.most[pid], course.settled.workers[pid]
        if (growth := most.memory - course.fresh.workers[pid].memory) > GROWTH:
            yield f"a worker grew by {growth:.0f} MiB"
        if (kept := settled.memory - before.memory) > KEPT:
            yield f"a worker kept {kept:.0f} MiB"
        if (more := settled.descriptors - before.descriptors) > POOL:
            yield f"a worker kept {more} descriptors"
    yield from _busy(course.settled, course.before)


def _busy(settled: Rest, before: Rest) -> Iterator[str]:
    """Resources that are still held without any request."""
    for pid, connections in settled.connections.items():
        if connections:
            yield f"a worker kept {connections} connections of clients"
        if pid not in settled.tasks or pid not in before.tasks:
            yield "a worker did not answer"
        elif settled.tasks[pid] > before.tasks[pid]:
            yield f"a worker kept {settled.tasks[pid] - before.tasks[pid]} tasks"
    for name, value in settled.gauges.items():
        if value != GAUGES[name]:
            yield f"{name} stayed at {value}"


def _alive(course: Course) -> Iterator[str]:
    if course.watch.unanswered:
        yield f"/livez was not answered {course.watch.unanswered} times of {course.watch.probes}"
    if course.stop == float("inf"):
        yield "SIGTERM did not end it in time"
    if course.tracebacks:
        yield f"the log has {course.tracebacks} tracebacks"
