"""docs/operations.md has every message and every field of the log."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import tasks_backend
from tasks_backend import Settings
from tasks_backend.auth import key_set, tokens
from tasks_backend.db import causes
from tasks_backend.db.causes import Cause

PACKAGE = Path(tasks_backend.__file__).parent
DOCUMENT = (PACKAGE.parent / "docs" / "operations.md").read_text()
MODULES = [path for path in PACKAGE.rglob("*.py") if "dev" not in path.relative_to(PACKAGE).parts]
LOGGING = {"info", "warning", "error", "exception", "critical", "log", "_log", "CountedWarning"}
FIELDS_IN = ("access_log", "failure_log", "limiter", "pool", "startup_log")
ALWAYS = {"timestamp", "level", "logger", "event", "exception", "reason"}


def calls(*names: str) -> Iterator[ast.Call]:
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
                if (name or getattr(node.func, "id", "")) in names:
                    yield node


def dictionaries(*modules: str) -> Iterator[dict[str, ast.expr]]:
    """The dictionaries with names as keys, of the modules whose file has this name."""
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if path.stem in modules and isinstance(node, ast.Dict):
                yield {
                    str(key.value): value
                    for key, value in zip(node.keys, node.values, strict=True)
                    if isinstance(key, ast.Constant)
                }


def template(node: ast.expr) -> str | None:
    """A text with `…` in place of each value."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return re.sub(r"%(?:\.0f|[sd])", "…", node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(template(part) or "…" for part in node.values)
    return None


def messages() -> set[str]:
    """All fixed messages of the log."""
    found = {template(argument) for call in calls(*LOGGING) for argument in call.args}
    found |= {template(each["msg"]) for each in dictionaries("log_handler") if "msg" in each}
    return {text for text in found if text is not None}


def table(first: str) -> list[list[str]]:
    """The rows of the table whose head begins with this cell."""
    rows = DOCUMENT.split(f"\n| {first} |", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows]


def quoted(cell: str) -> set[str]:
    return set(re.findall(r"`([^`]+)`", cell))


ALL_CAUSES = {
    *causes.CONNECTING.values(),
    *causes.MESSAGES.values(),
    *causes.STATEMENTS.values(),
    *(value for value in vars(causes).values() if isinstance(value, Cause)),
}


def test_every_message_has_a_row_and_every_row_a_message() -> None:
    rows = table("message")
    assert all(len(row) == 3 and all(row) for row in rows)
    assert {message for row in rows for message in quoted(row[0])} == messages()


def test_every_cause_has_a_row_with_its_class_sqlstates_and_remedy() -> None:
    states: dict[Cause, set[str]] = {cause: set() for cause in ALL_CAUSES}
    for known in (causes.CONNECTING, causes.STATEMENTS):
        for key, cause in known.items():
            states[cause] |= {key.split()[0]} if len(key.split()[0]) == 5 else set()
    expected = [
        [
            cause.happened,
            cause.failure.name.lower().replace("_", " "),
            ", ".join(sorted(states[cause])),
            cause.remedy.replace(causes.AUTHORITIES, "/etc/ssl/certs/ca-certificates.crt"),
        ]
        for cause in ALL_CAUSES
    ]
    assert sorted(table("what happened")) == sorted(expected)


def test_every_field_has_a_row() -> None:
    documented = {field for row in table("field") for field in quoted(row[0])}
    written = {field for each in dictionaries(*FIELDS_IN) for field in each}
    assert documented == (written | ALWAYS) - Settings.model_fields.keys()


def test_every_reason_of_a_refused_token_has_a_row() -> None:
    reasons = {template(argument) for call in calls("InvalidToken") for argument in call.args}
    reasons |= {key_set.UNKNOWN_KEY, *tokens._REASONS.values()}  # noqa: SLF001
    documented = {reason for row in table("reason of a 401") for reason in quoted(row[0])}
    assert documented == reasons - {None}


def test_the_line_of_each_incident_is_one_that_the_service_writes() -> None:
    written = "\n".join([*messages(), *(cause.happened for cause in ALL_CAUSES)])
    written += (PACKAGE / "auth" / "key_endpoint.py").read_text()
    written += "\n".join(tokens._REASONS.values()) + " expired_token"  # noqa: SLF001
    rows = table("incident")
    assert len(rows) >= 10
    for _, line in rows:
        for text in quoted(line):
            assert text in written, text
