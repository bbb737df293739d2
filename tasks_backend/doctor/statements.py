"""The SQL of the doctor. It leaves no rows behind."""

from sqlalchemy import Text, Uuid, bindparam, func, insert, or_, select, update
from sqlmodel import col

from tasks_backend.db.statements import SCHEMA, SERVICE_ROLES, statement
from tasks_backend.tasks.idempotent_statements import CREATE_IDEMPOTENT, DELETE_EXPIRED_KEYS
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
    extract(epoch FROM pg_postmaster_start_time())::text,
    extract(epoch FROM clock_timestamp())::float8,
    current_setting('transaction_read_only')::bool,
    login.rolsuper,
    (
        SELECT app.rolname FROM pg_roles AS app
        WHERE app.rolname IN ({SERVICE_ROLES})
        AND has_schema_privilege(app.oid, to_regnamespace('{SCHEMA}')::oid, 'USAGE')
        ORDER BY app.rolname LIMIT 1
    ),
    to_regnamespace('{SCHEMA}') IS NOT NULL
FROM pg_roles AS login WHERE login.rolname = current_user
"""  # noqa: S608 - only our own constants

MAY_DUMP = f"""
SELECT rolname, rolsuper OR rolbypassrls AND (
    SELECT bool_and(has_schema_privilege(relnamespace, 'USAGE') AND has_table_privilege(pg_class.oid, 'SELECT'))
    FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE nspname = '{SCHEMA}' AND relkind IN ('r', 'p')
)
FROM pg_roles WHERE rolname = current_user
"""  # noqa: S608 - only our own constants
"""Whether pg_dump, which turns row-level security off, can read all rows with this login."""

OTHER_USER = bindparam("other_user", type_=Text)
OTHER_TASK = bindparam("other_task", type_=Uuid)

_ROWS_OF_BOTH = {
    "users": or_(col(User.id) == USER_ID, col(User.id) == OTHER_USER),
    "tasks": or_(col(Task.id) == TASK_ID, col(Task.id) == OTHER_TASK),
    "idempotency_keys": or_(
        col(IdempotencyKey.user_id) == USER_ID, col(IdempotencyKey.user_id) == OTHER_USER
    ),
}
TABLES = tuple(_ROWS_OF_BOTH)

CREATE_ROWS = statement(
    *(part for part in CREATE_IDEMPOTENT.uncounted.constructs if part is not DELETE_EXPIRED_KEYS),
    idempotent=False,
    settings=CREATE_IDEMPOTENT.uncounted.settings,
)
"""Create a user, a task and a key: the service's own, without the part that locks others' keys."""

COUNT_VISIBLE_ROWS = statement(
    select(
        *(select(func.count()).where(rows).scalar_subquery() for rows in _ROWS_OF_BOTH.values())
    ),
    idempotent=True,
)
"""Count the visible rows of two users in each of TABLES: 1 if isolated, 2 if not."""

UPDATE_OTHER_TASK = statement(
    update(Task).where(col(Task.id) == OTHER_TASK).values(title=TITLE).returning(col(Task.id)),
    idempotent=True,
)
"""Update the other user's task without an owner predicate."""

INSERT_FOR_OTHER = statement(
    insert(Task).values(id=TASK_ID, user_id=OTHER_USER, title=TITLE), idempotent=False
)
"""Insert a task that belongs to the other user."""
