"""The SQL of a user's whole account, compiled at import like that of tasks."""

from sqlalchemy import BigInteger, Text, bindparam, cast, delete, func, select, true
from sqlmodel import col

from tasks_backend.db.statements import statement
from tasks_backend.tasks.models import IdempotencyKey, Task, User
from tasks_backend.tasks.statements import USER_ID

CREATED_AT = statement(select(col(User.created_at)).where(col(User.id) == USER_ID), repeatable=True)

# Tasks and keys go as the user, whom row-level security holds to their own rows. Only the owner of
# the tables may delete a user, so for that last row the message becomes the login again; what has
# been added since goes by the foreign keys' cascade. Tasks are locked before the user, as everywhere.

_COUNT = bindparam("count", "tasks_backend.erased_tasks", type_=Text)

_erased = delete(Task).where(col(Task.user_id) == USER_ID).returning(col(Task.id)).cte("erased")

ERASE = statement(
    delete(IdempotencyKey).where(col(IdempotencyKey.user_id) == USER_ID),
    select(
        func.set_config(
            _COUNT,
            cast(select(func.count()).select_from(_erased).scalar_subquery(), Text),
            true(),
        )
    ),
    select(
        func.set_config(
            bindparam("role_setting", "role", type_=Text),
            bindparam("login", "none", type_=Text),
            true(),
        )
    ),
    delete(User)
    .where(col(User.id) == USER_ID)
    .returning(cast(func.current_setting(_COUNT), BigInteger)),
    repeatable=False,
)
"""Returns how many tasks went, or no row if there is no such user."""
