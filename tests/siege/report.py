"""The results of a siege as Markdown."""

from collections import Counter
from collections.abc import Iterator

from overload.open_loop import percentile

from siege.attacks.kinds import ATTACKS
from siege.course import Course, Phase
from siege.measure import MIB, Rest
from siege.verdict import failures

REFUSALS = ("overloaded", "auth_unavailable")
P50, P99, CPU = "p50, ms", "p99, ms", "the service's CPU, cores"
HEAD = """\
| attacks | workers | honest requests | failed | late | wrong | p50, ms | p99, ms | CPU, cores | grew, MiB | violated |
|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|"""
"""The header of a summary. Two figures are `without → in the siege`."""


def written(course: Course, workers: int, found: list[str]) -> str:
    """Return the whole report of one deployment."""
    lines = [
        f"## {workers} worker{'s' * (workers > 1)}: {', '.join(course.names)}",
        "",
        *_honest(course),
        "",
        *_held(course),
        "",
        *_attacks(course),
        "",
        f"/livez: {course.watch.probes} asked, {course.watch.unanswered} not answered.",
        f"Not answered for want of CPU: {course.watch.excused}.",
        f"SIGTERM: {course.stop:.1f} s. Tracebacks in the log: {course.tracebacks}.",
        "",
        *(f"- VIOLATED: {sentence}" for sentence in found),
    ]
    return "\n".join(lines) + "\n"


def line(course: Course, workers: int, found: list[str]) -> str:
    """Return one line for a summary of several courses."""
    peace, siege = (dict(_column(phase)) for phase in (course.peace, course.siege))
    counts = Counter(course.siege.verdict.counts)
    late = counts.pop("late")
    fresh = course.fresh.workers
    grew = max(
        most.memory - fresh[pid].memory for pid, most in course.watch.most.items() if pid in fresh
    )
    name = course.names[0] if len(course.names) == 1 else f"{len(course.names)} at once"
    cells = [
        name,
        workers,
        siege["asked"],
        failures(course.siege).total(),
        late,
        counts.total(),
        *(f"{peace[label]} → {siege[label]}" for label in (P50, P99, CPU)),
        f"{grew:.0f}",
        len(found) or "",
    ]
    return f"| {' | '.join(map(str, cells))} |"


def _honest(course: Course) -> Iterator[str]:
    yield "| honest requests | without the siege | in it |\n|---|--:|--:|"
    columns = [dict(_column(phase)) for phase in (course.peace, course.siege)]
    for label in columns[0]:
        yield f"| {label} | {' | '.join(column[label] for column in columns)} |"


def _column(phase: Phase) -> Iterator[tuple[str, str]]:
    attempts = [a for operation in phase.history.operations for a in operation.attempts]
    took = [a.answered_at - a.sent_at for a in attempts if 0 < a.status < 500]
    failed, counts = failures(phase), phase.verdict.counts
    yield "asked", str(len(attempts))
    for code in REFUSALS:
        yield f"refused, `{code}`", str(failed.pop(code, 0))
    yield "failed otherwise", _counted(failed) or "0"
    yield "late", str(counts.pop("late"))
    yield "acknowledged writes lost", str(counts.pop("lost"))
    yield "wrong in any other way", str(sum(counts.values()))
    yield P50, f"{percentile(took, 0.5):.1f}"
    yield P99, f"{percentile(took, 0.99):.1f}"
    yield "slowest, ms", f"{percentile(took, 1):.0f}"
    yield CPU, f"{phase.used:.2f}"
    yield "cores that it waited for: other processes had them", f"{phase.waited:.2f}"


def _held(course: Course) -> Iterator[str]:
    """The largest value of any worker. Gauges are sums over all workers."""
    yield "| held | fresh | before | during | after | settled |\n|---|--:|--:|--:|--:|--:|"
    moments = (course.fresh, course.before, None, course.after, course.settled)
    most = course.watch.most.values()
    during = {
        "memory, MiB": max(held.memory for held in most),
        "descriptors": max(held.descriptors for held in most),
        "connections": None,
        "tasks": course.watch.tasks,
        **course.watch.gauges,
    }
    columns = [during if rest is None else _row(rest) for rest in moments]
    for label in during:
        cells = ["" if column[label] is None else f"{column[label]:.0f}" for column in columns]
        yield f"| {label.removeprefix('tasks_backend_')} | {' | '.join(cells)} |"


def _row(rest: Rest) -> dict[str, float | None]:
    return {
        "memory, MiB": max(held.memory for held in rest.workers.values()),
        "descriptors": max(held.descriptors for held in rest.workers.values()),
        "connections": max(rest.connections.values()),
        "tasks": max(rest.tasks.values(), default=-1),
        **rest.gauges,
    }


def _attacks(course: Course) -> Iterator[str]:
    yield (
        "| attack | finding | attempts | connections | requests | MiB sent | answers"
        " | ended by the service | longest, s | must not have got |"
    )
    yield "|---|---|--:|--:|--:|--:|---|--:|--:|---|"
    for name, cost in course.costs.items():
        cells = [
            name,
            ATTACKS[name].finding,
            cost.attempts,
            cost.sockets,
            cost.requests,
            f"{cost.sent / MIB:.1f}",
            _counted(cost.answers),
            cost.ended,
            f"{cost.longest:.1f}",
            _counted(cost.breaches) or "nothing",
        ]
        yield f"| {' | '.join(map(str, cells))} |"


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{times} {what}" for what, times in sorted(counts.items()))
