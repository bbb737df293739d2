"""Format findings: JSON for programs, lines for logs, a table for terminals."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from itertools import groupby

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tasks_backend.doctor.findings import SKIPPED, Finding, Outcome
from tasks_backend.terminal import pluralise

_STYLES = {Outcome.OK: "green", Outcome.NOTE: "yellow", Outcome.PROBLEM: "bold red"}
UNCHECKED = " Set this in the environment or in .env; nothing else was checked."
_NAME_WIDTH = 18  # characters in the longest name of a check


def exit_code(findings: Iterable[Finding]) -> int:
    """Return 0 without a problem, 2 for a problem in the settings, 1 for any other."""
    areas = {_area(finding) for finding in findings if finding.outcome is Outcome.PROBLEM}
    if "settings" in areas:
        return 2
    return 1 if areas else 0


def as_json(findings: Iterable[Finding]) -> str:
    """Return a JSON array of objects with `check`, `outcome` and `message`."""
    return json.dumps([asdict(finding) for finding in findings], indent=2, ensure_ascii=False)


def as_lines(findings: list[Finding]) -> Iterator[str]:
    """Yield a line for each finding, then a summary."""
    for finding in _shown(findings):
        yield f"{finding.outcome:8} {finding.check:27} {finding.message}"
    yield _summary(findings)


def write_table(findings: list[Finding]) -> None:
    """Print the findings by area, wrapped to the terminal's width."""
    console = Console(highlight=False)
    for area, group in groupby(_shown(findings), _area):
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(width=max(map(len, Outcome)))
        table.add_column(width=_NAME_WIDTH)
        table.add_column(overflow="fold")
        skipped = []
        for finding in group:
            name = finding.check.partition(".")[2].replace("_", " ")
            if finding.message == SKIPPED:
                skipped.append(name)
                continue
            style = _STYLES[finding.outcome]
            table.add_row(Text(finding.outcome, style), Text(name), Text(finding.message))
        if skipped:
            table.add_row("", "", Text(f"Not checked: {', '.join(skipped)}.", "dim"))
        console.print(Text(area.capitalize(), "bold"), Padding(table, (0, 0, 1, 2)), sep="\n")
    worst = max(findings, key=lambda finding: list(Outcome).index(finding.outcome)).outcome
    console.print(Text(_summary(findings), _STYLES[worst]))


def _shown(findings: list[Finding]) -> list[Finding]:
    """Return the findings; only what is wrong if the settings stopped all other areas."""
    made = [finding for finding in findings if finding.message != SKIPPED]
    if {_area(finding) for finding in made} <= {"settings", "token"}:
        return [finding for finding in made if finding.outcome is not Outcome.OK]
    return findings


def _summary(findings: list[Finding]) -> str:
    counts = Counter(finding.outcome for finding in findings if finding.message != SKIPPED)
    notes = f", {pluralise(counts[Outcome.NOTE], 'note')}" if counts[Outcome.NOTE] else ""
    if counts[Outcome.PROBLEM]:
        unchecked = "" if _shown(findings) is findings else UNCHECKED
        return f"{pluralise(counts[Outcome.PROBLEM], 'problem')}{notes}.{unchecked}"
    return f"All is well{notes}."


def _area(finding: Finding) -> str:
    return finding.check.partition(".")[0]
