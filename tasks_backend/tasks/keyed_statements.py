"""The SQL of a plugin's writes with an idempotency key (decision 0005)."""

from collections.abc import Callable
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    delete,
    exists,
    func,
    literal_column,
    select,
    true,
    update,
)

from tasks_backend.db.statements import Statement, statement
from tasks_backend.tasks.idempotent_statements import (
    IdempotentWrite,
    idempotent_write,
    is_first,
    is_this_key,
)
from tasks_backend.tasks.models import IdempotencyKey
from tasks_backend.tasks.statements import idempotency

RESERVED = {"key", "fingerprint", "attempt", "ttl", "max_keys"}


class WriteStatements(NamedTuple):
    """The messages of a write, without and with a key, and the names of its result's columns."""

    plain: Statement
    keyed: IdempotentWrite
    names: tuple[str, ...]


def write_statements(work: Callable[[ColumnElement[bool]], Any]) -> WriteStatements:
    """Return the statements of a write, which `work` makes: see `KeyedWrite`.

    With a key, the first row that the work returns is stored as JSON with the key. If it returns none,
    the key is not stored. Raises ValueError if the work has no result, or a parameter of the service's.
    """
    always = work(true())
    plain = statement(always, idempotent=False)
    names = tuple(column.key for column in always.exported_columns)
    if not names:
        raise ValueError("the write returns nothing: add returning(...)")
    for name in RESERVED & {*plain.fixed, *plain.passed}:
        raise ValueError(f"the parameter {name!r} is the service's: give yours another name")
    done = work(exists().where(is_first)).cte("done")
    row = select(func.to_jsonb(literal_column("done"))).select_from(done)
    keyed = idempotent_write(
        select(literal_column("NULL::jsonb").label("response")),
        update(IdempotencyKey)
        .where(is_first)
        .values(response=row.limit(literal_column("1")).scalar_subquery()),
        select(idempotency.response).where(is_this_key),
        then=(delete(IdempotencyKey).where(is_first, idempotency.response.is_(None)),),
    )
    return WriteStatements(plain, keyed, names)
