"""The service's CPU beside that of another revision: `nox -s bench -- --against REV`."""

import contextlib
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import median

import pytest
from support.markdown import table
from support.programs import require

from benchmarks.difference import interval
from benchmarks.lab import Sample, sample
from benchmarks.operations import OPERATIONS
from benchmarks.progress import tell
from benchmarks.ratios import database_cpu, server_cpu
from benchmarks.revisions import ROOT, Revision, checked_out, serving
from tasks_backend.testing.databases import Cluster
from tasks_backend.testing.key_server import KeyServer

HEAD = ("", "service: before", "now", "now / before", "database: before", "now", "now / before")

Pair = tuple[Sample, Sample]


def test_cost_against_another_revision(
    cluster: Cluster,
    key_server: KeyServer,
    tokens: dict[str, str],
    pytestconfig: pytest.Config,
    tmp_path: Path,
    report: Callable[[str], None],
) -> None:
    require("git", "wrk")
    revision: str = pytestconfig.getoption("against")
    rounds: int = pytestconfig.getoption("bench_rounds")
    with contextlib.ExitStack() as stack:
        source = stack.enter_context(checked_out(revision, tmp_path / "source"))
        before, now = (
            stack.enter_context(
                serving(each, cluster, key_server.url, tokens, tmp_path / name, python)
            )
            for each, name, python in (
                (source, "before", pytestconfig.getoption("against_python")),
                (ROOT, "now", sys.executable),
            )
        )
        taken = _measure(before, now, rounds, pytestconfig.getoption("bench_seconds"))
    report(
        f"\nCPU in µs per request of {revision} (before) and of this tree (now): medians of {rounds}"
        " rounds, the two in turn. The ratio is the median of the rounds' ratios; with 95 % its"
        " true value is within the parentheses. A difference is shown if 1 is not.\n"
    )
    report(table(HEAD, [(operation, *_cells(taken[operation])) for operation in OPERATIONS]))
    assert not sum(one.burst.errors for pairs in taken.values() for pair in pairs for one in pair)


def _measure(before: Revision, now: Revision, rounds: int, seconds: int) -> dict[str, list[Pair]]:
    """Send both a burst of each operation, in several rounds; the first warms up and is not counted."""
    postmaster = now.data.postmaster()
    taken: dict[str, list[Pair]] = defaultdict(list)
    for number in range(rounds + 1):
        for operation in OPERATIONS:
            order = (before, now) if number % 2 else (now, before)
            samples = {
                one: sample(one.running, operation, one.operations, one.data, postmaster, seconds)
                for one in order
            }
            if number:
                taken[operation].append((samples[before], samples[now]))
            tell(f"round {number}: {operation}, before: {samples[before]}; now: {samples[now]}")
    return taken


def _cells(pairs: list[Pair]) -> list[str]:
    cells = []
    before, now = ([pair[which] for pair in pairs] for which in (0, 1))
    for figure in (server_cpu, database_cpu):
        ratios = [figure([pair[1]]) / figure([pair[0]]) for pair in pairs]
        low, high = interval(ratios)
        cells += [f"{figure(taken) * 1e6:.0f}" for taken in (before, now)]
        cells.append(f"{median(ratios):.3f} ({low:.3f}-{high:.3f})")
    return cells
