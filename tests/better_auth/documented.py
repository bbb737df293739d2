"""The tables of docs/auth.md."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from better_auth.measuring import Measured
from better_auth.options import CACHED, DOCUMENTED, OPTIONS

DOCUMENT = Path(__file__).parents[2] / "docs" / "auth.md"
EVENT_HEAD = ("after", "without `cookieCache`", "with `cookieCache`")
OPTION_HEAD = ("configuration", "its token here", "`user_id`", "good for", "new tokens afterwards")
VERSION_HEAD = ("Better Auth", "OAuth provider", "Node.js", "tests passed", "does not work")


def add_version(versions: Mapping[str, str], passed: int, skipped: Iterable[str]) -> None:
    """Add the row of a version with which no test failed, or renew it."""
    without = "; ".join(reason.removeprefix("Skipped: ") for reason in skipped)
    provider = versions["@better-auth/oauth-provider"]
    row = (versions["better-auth"], provider, versions["node"], str(passed), without)
    others = [each for each in read("versions") if each[0] != row[0]]
    write("versions", VERSION_HEAD, sorted([*others, row], key=_numbers))


def write_options(results: Sequence[Measured]) -> None:
    """Renew the table of configurations and the one of events, if everything was measured."""
    by_name = {each.name: each for each in results}
    if len(by_name) < len(OPTIONS):
        return
    plain, cached = by_name[DOCUMENTED.name].new_tokens, by_name[CACHED.name].new_tokens
    write(
        "options", OPTION_HEAD, [_option_row(by_name[each.name], plain, cached) for each in OPTIONS]
    )
    write("events", EVENT_HEAD, [(event, plain[event], cached[event]) for event in plain])


def _option_row(
    result: Measured, plain: Mapping[str, str], cached: Mapping[str, str]
) -> tuple[str, ...]:
    new = result.new_tokens
    if new.items() <= plain.items():
        told = "as without `cookieCache`" if new else ""
    elif new.items() <= cached.items():
        told = "as with `cookieCache`"
    else:
        told = "; ".join(
            f"{event}: {until}" for event, until in new.items() if plain[event] != until
        )
    return (result.name, result.answer, result.user_id, result.lifetime, told)


def read(name: str) -> list[tuple[str, ...]]:
    """Return the rows of the table between its markers, without the head."""
    (table,) = _between(name).findall(DOCUMENT.read_text())
    return [tuple(line[2:-2].split(" | ")) for line in table.split("\n")[3:] if line]


def write(name: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Replace the table between its markers."""
    lines = (f"| {' | '.join(row)} |\n" for row in (head, ("---",) * len(head), *rows))
    table = f"\n{''.join(lines)}\n"
    DOCUMENT.write_text(_between(name).sub(lambda _: table, DOCUMENT.read_text()))


def _between(name: str) -> re.Pattern[str]:
    return re.compile(rf"(?<=<!-- {name} -->\n).*(?=<!-- end of {name} -->)", re.DOTALL)


def _numbers(row: Sequence[str]) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", row[0])]
