"""The results of a run as Markdown."""

import math
from bisect import bisect
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from statistics import median

from faults.campaign import Campaign, Event
from faults.check import Verdict
from faults.deployment import REQUEST_TIMEOUT, SIDES
from faults.record import Attempt, History, Outcome

SHOWN = 10  # of each kind of violation


def written(
    title: str, history: History, campaign: Campaign, verdict: Verdict, tracebacks: list[str]
) -> str:
    """Return the whole report."""
    lines = [
        f"# {title}",
        "",
        *_writes(history, campaign, verdict),
        "",
        *_violations(verdict, tracebacks),
        "",
        *_answers(history),
        "",
        *_recoveries(history, campaign.events),
    ]
    lines += [f"\nNot done: {name}: {reason}." for name, reason in campaign.skipped.items()]
    return "\n".join(lines) + "\n"


def details(verdict: Verdict, tracebacks: list[str]) -> str:
    """Return the violations and their causes, for debugging."""
    lines = [
        f"{kind}: {what}"
        for kind, findings in verdict.findings.items()
        for what in findings[:SHOWN]
    ]
    return "\n".join(lines + tracebacks[:SHOWN])


def _writes(history: History, campaign: Campaign, verdict: Verdict) -> Iterator[str]:
    kinds = len({event.name for event in campaign.events})
    by_side = Counter(
        o.side for o in history.operations if o.is_write and o.outcome is Outcome.ACKNOWLEDGED
    )
    yield f"{len(campaign.events)} faults of {kinds} kinds, each at both sides."
    yield ""
    yield "| writes | |\n|---|--:|"
    for outcome in Outcome:
        yield f"| {outcome.value} | {verdict.writes[outcome]} |"
    for side in SIDES:
        yield f"| acknowledged, {side} | {by_side[side]} |"
    yield f"| in doubt, and did happen (at least) | {verdict.happened} |"
    yield f"| in doubt, repeated with their key, and had happened | {_saved(history)} |"


def _saved(history: History) -> int:
    """Count the writes that only their key prevented from being done twice."""
    return sum(
        operation.attempts[0].in_doubt
        and operation.acknowledged is not None
        and operation.acknowledged.replayed
        for operation in history.operations
    )


def _violations(verdict: Verdict, tracebacks: list[str]) -> Iterator[str]:
    yield "| must be 0 | |\n|---|--:|"
    for kind, count in verdict.counts.items():
        label = f"answered after {REQUEST_TIMEOUT:g} s + 0.5 s" if kind == "late" else kind
        yield f"| {label} | {count} |"
    yield f"| tracebacks in the services' logs | {len(tracebacks)} |"


def _answers(history: History) -> Iterator[str]:
    counts: Counter[tuple[str, str]] = Counter()
    slowest: dict[str, float] = defaultdict(float)
    for operation in history.operations:
        for attempt in operation.attempts:
            said = f"{attempt.status} {attempt.code}".strip() if attempt.status else attempt.error
            counts[said, operation.side] += 1
            slowest[said] = max(slowest[said], attempt.answered_at - attempt.sent_at)
    yield "| answer | direct | pooled | slowest, s |\n|---|--:|--:|--:|"
    for said in sorted(slowest):
        cells = " | ".join(str(counts[said, side]) for side in SIDES)
        yield f"| {said} | {cells} | {slowest[said]:.2f} |"
    worst = max((lag for _, lag in history.lags), default=0.0)
    yield f"\nThe load generator itself was late by {worst:.2f} s at most."


def _recoveries(history: History, events: Sequence[Event]) -> Iterator[str]:
    """The time from a fault's end to the first acknowledged write, and the failures it caused."""
    yield "Seconds from a fault's end to the first acknowledged write (p50, max) and to the last"
    yield "failure (max), and how many requests failed from its beginning to the next fault's."
    yield "PgBouncer does not ask a server that refused it again for 15 s (`server_login_retry`)."
    yield ""
    yield "| fault | times | direct p50 | max | last | failed | pooled p50 | max | last | failed |"
    yield "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
    by_kind = defaultdict(list)
    for event in events:
        by_kind[event.name].append(event)
    failures = _failures(history, events)
    for name, done in sorted(by_kind.items()):
        cells = []
        for side in SIDES:
            times = [e.back[side] - e.ended if side in e.back else math.inf for e in done]
            failed = [failures[id(event), side] for event in done]
            last = max(
                (at - e.ended for e, ats in zip(done, failed, strict=True) for at in ats),
                default=0.0,
            )
            cells += [f"{median(times):.2f}", f"{max(times):.2f}", f"{max(0.0, last):.2f}"]
            cells.append(str(sum(map(len, failed))))
        yield f"| {name} | {len(done)} | {' | '.join(cells)} |"


def _failures(history: History, events: Sequence[Event]) -> dict[tuple[int, str], list[float]]:
    """Times of failed requests, from a fault's start to the next one's, by fault and side."""
    found: dict[tuple[int, str], list[float]] = defaultdict(list)
    begins = [event.began for event in events]
    for operation in history.operations:
        for attempt in operation.attempts:
            which = bisect(begins, attempt.answered_at) - 1
            if which >= 0 and _has_failed(attempt):
                found[id(events[which]), operation.side].append(attempt.answered_at)
    return found


def _has_failed(attempt: Attempt) -> bool:
    return attempt.status >= 500 or (attempt.status == 0 and attempt.error != "hungup")
