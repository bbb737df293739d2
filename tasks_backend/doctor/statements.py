"""The SQL of the doctor, which reads what the server knows of itself and leaves nothing behind."""

from sqlalchemy import Text, Uuid, bindparam, func, insert, or_, select, update
from sqlmodel import col

from tasks_backend.db.statements import APP_ROLE, SCHEMA, statement
from tasks_backend.tasks.models import IdempotencyKey, Task, User
from tasks_backend.tasks.statements import TASK_ID, TITLE, USER_ID

BEGIN = "BEGIN"
ROLLBACK = "ROLLBACK"

SERVER = f"""
SELECT
    current_setting('server_version_num')::int / 10000,
    current_database(),
    current_user,
    pg_backend_pid(),
    pg_postmaster_start_time()::text,
    extract(epoch FROM clock_timestamp())::float8,
    current_setting('transaction_read_only')::bool,
    login.rolsuper,
    coalesce(pg_has_role(to_regrole('{APP_ROLE}')::oid, 'MEMBER'), false),
    to_regnamespace('{SCHEMA}') IS NOT NULL
FROM pg_roles AS login WHERE login.rolname = current_user
"""  # noqa: S608 - names of ours

OTHER_USER = bindparam("other_user", type_=Text)
OTHER_TASK = bindparam("other_task", type_=Uuid)

SEEN = statement(
    select(
        *(
            select(func.count()).where(or_(column == mine, column == other)).scalar_subquery()
            for column, mine, other in (
                (col(User.id), USER_ID, OTHER_USER),
                (col(Task.id), TASK_ID, OTHER_TASK),
                (col(IdempotencyKey.user_id), USER_ID, OTHER_USER),
            )
        )
    ),
    repeatable=True,
)
"""How many of two users' rows are seen in each table: one, or both if nothing keeps them apart."""

CHANGED = statement(
    update(Task)
    .where(col(Task.id) == OTHER_TASK)
    .values(title=TITLE)
    .returning(col(Task.id)),
    repeatable=True,
)
"""What a change touches that does not say whose task it is."""

PLANTED = statement(
    insert(Task).values(id=TASK_ID, user_id=OTHER_USER, title=TITLE), repeatable=False
)
"""A task that one user makes for another."""
