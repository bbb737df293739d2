"""All statements about tasks, and defects planted in them."""

import pytest

from tasks_backend.db.statements import Statement
from tasks_backend.tasks import (
    bulk_statements,
    idempotent_statements,
    list_statements,
    quota_statements,
    statements,
)


def _all_statements() -> dict[str, Statement]:
    found = {
        name: value
        for module in (statements, quota_statements, idempotent_statements, bulk_statements)
        for name, value in vars(module).items()
        if not name.startswith("_")
    }
    all_ = {name: value for name, value in found.items() if isinstance(value, Statement)}
    for name, value in found.items():
        if isinstance(value, idempotent_statements.IdempotentWrite):
            all_ |= {f"{name}.uncounted": value.uncounted, f"{name}.counted": value.counted}
    for page, statement in list_statements.PAGES.items():
        parts = (page.order, page.after and "after", page.text and "text", page.total and "total")
        all_[".".join(["PAGES", *(part for part in parts if part)])] = statement
    return all_


STATEMENTS = _all_statements()


def plant(monkeypatch: pytest.MonkeyPatch, statement: Statement, mutant: Statement) -> None:
    """Let a statement send another one's SQL until the test ends."""
    for part in ("constructs", "sql", "message", "fixed", "passed"):
        monkeypatch.setitem(vars(statement), part, vars(mutant)[part])
