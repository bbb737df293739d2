"""The SQL that moves one user's rows to another user (decision 0022).

Row-level security shows the rows of one user at a time, and no request may change `user_id`. So each row
is deleted as the one user and inserted as the other, in one message, which is one transaction.
"""

from sqlalchemy import Text, bindparam, func, select, text, true

from tasks_backend.db.statements import SCHEMA, USER_SETTING, statement
from tasks_backend.tasks.account_statements import PLUGIN_SCHEMA_PREFIX
from tasks_backend.tasks.quota_statements import lock_user

_PAGE = 1000  # rows; up to 40 MB
_TARGET = f"{SCHEMA}.move_target"
_RESULT = f"{SCHEMA}.move_result"

# Plugins' rows that reference others are deleted first and inserted last. Rows stay where they are if a
# request may not delete and insert them, or if rows that stay may reference them.
_MOVE = f"""
DO $move$
DECLARE
    source CONSTANT text := current_setting('{USER_SETTING}');
    target CONSTANT text := current_setting('{_TARGET}');
    to_target CONSTANT jsonb := jsonb_build_object('user_id', target);
    plan record;
    plugin_table record;
    parked jsonb := '[]';
    blockers text;
    tasks {SCHEMA}.tasks[];
    keys {SCHEMA}.idempotency_keys[];
    last_key text := '';
    plugin_rows text[];
    has_rows boolean;
    moved_tasks bigint := 0;
    moved_rows bigint := 0;
    kept text[] := '{{}}';
BEGIN
    WITH RECURSIVE readable AS (
        SELECT pg_class.oid, format('%I.%I', nspname, relname) AS name,
            has_table_privilege(pg_class.oid, 'INSERT') AND has_table_privilege(pg_class.oid, 'DELETE')
                AS is_movable,
            (
                SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
                WHERE attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
            ) AS columns
        FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
        JOIN pg_attribute ON attrelid = pg_class.oid AND attname = 'user_id'
        WHERE relkind IN ('r', 'p') AND NOT relispartition
        AND starts_with(nspname, '{PLUGIN_SCHEMA_PREFIX}')
        AND has_schema_privilege(relnamespace, 'USAGE') AND has_table_privilege(pg_class.oid, 'SELECT')
    ), referencing AS (
        SELECT conrelid AS child, confrelid AS parent FROM pg_constraint
        WHERE contype = 'f' AND conrelid <> confrelid AND conparentid = 0
    ), fixed AS (
        SELECT parent FROM referencing WHERE child NOT IN (SELECT oid FROM readable WHERE is_movable)
        UNION SELECT referencing.parent FROM referencing JOIN fixed ON child = fixed.parent
    ), depth AS (
        SELECT oid, 0 AS level FROM readable
        UNION SELECT child, level + 1 FROM referencing JOIN depth ON parent = oid WHERE level < 100
    ), known AS (
        SELECT *, is_movable AND oid NOT IN (SELECT parent FROM fixed) AS moves,
            (SELECT max(level) FROM depth WHERE depth.oid = readable.oid) AS level
        FROM readable
    )
    SELECT (
        SELECT coalesce(jsonb_agg(to_jsonb(known) ORDER BY level DESC, name), '[]') FROM known
    ) AS tables, (
        SELECT string_agg(DISTINCT child::regclass::text, ', ') FROM referencing
        WHERE parent = '{SCHEMA}.tasks'::regclass AND child NOT IN (SELECT oid FROM known WHERE moves)
    ) AS blockers
    INTO plan;
    IF plan.blockers IS NOT NULL THEN
        PERFORM set_config('{_RESULT}', json_build_object('blockers', plan.blockers)::text, true);
        RETURN;
    END IF;

    FOR plugin_table IN
        SELECT * FROM jsonb_to_recordset(plan.tables) AS t (name text, columns text, moves boolean)
    LOOP
        IF NOT plugin_table.moves THEN
            EXECUTE format('SELECT EXISTS (SELECT FROM %s WHERE user_id::text = $1)', plugin_table.name)
                INTO has_rows USING source;
            kept := kept || CASE WHEN has_rows THEN ARRAY[plugin_table.name] END;
            CONTINUE;
        END IF;
        EXECUTE format(
            'WITH deleted AS (DELETE FROM %s AS t WHERE user_id = $1 RETURNING t::text AS content)
            SELECT array_agg(content) FROM deleted', plugin_table.name
        ) INTO plugin_rows USING source;
        IF plugin_rows IS NOT NULL THEN
            parked := parked || (to_jsonb(plugin_table) || jsonb_build_object('content', plugin_rows));
        END IF;
    END LOOP;

    IF EXISTS (SELECT FROM {SCHEMA}.users WHERE id = source) THEN
        PERFORM set_config('{USER_SETTING}', target, true);
        INSERT INTO {SCHEMA}.users (id) VALUES (target) ON CONFLICT DO NOTHING;
    ELSIF parked = '[]' AND kept = '{{}}' THEN
        RETURN;
    END IF;

    LOOP
        PERFORM set_config('{USER_SETTING}', source, true);
        WITH deleted AS (
            DELETE FROM {SCHEMA}.tasks AS task WHERE user_id = source AND id = ANY (ARRAY(
                SELECT id FROM {SCHEMA}.tasks WHERE user_id = source
                ORDER BY id DESC NULLS LAST LIMIT {_PAGE}
            )) RETURNING task
        )
        SELECT array_agg(task) INTO tasks FROM deleted;
        EXIT WHEN tasks IS NULL;
        moved_tasks := moved_tasks + cardinality(tasks);
        PERFORM set_config('{USER_SETTING}', target, true);
        INSERT INTO {SCHEMA}.tasks SELECT moved.*
        FROM unnest(tasks) AS task, jsonb_populate_record(task, to_target) AS moved;
    END LOOP;

    LOOP -- A repeated request finds its answer, whichever of the two sends it: keys are copied.
        PERFORM set_config('{USER_SETTING}', source, true);
        SELECT array_agg(key_row ORDER BY page.key) INTO keys FROM (
            SELECT own AS key_row, own.key FROM {SCHEMA}.idempotency_keys AS own
            WHERE user_id = source AND own.key > last_key AND expires_at > now()
            ORDER BY own.key LIMIT {_PAGE}
        ) AS page;
        EXIT WHEN keys IS NULL;
        last_key := (keys[cardinality(keys)]).key;
        PERFORM set_config('{USER_SETTING}', target, true);
        INSERT INTO {SCHEMA}.idempotency_keys SELECT moved.*
        FROM unnest(keys) AS key_row, jsonb_populate_record(key_row, to_target) AS moved
        ON CONFLICT DO NOTHING;
    END LOOP;

    FOR plugin_table IN
        SELECT t.* FROM jsonb_array_elements(parked) WITH ORDINALITY AS element (value, position),
            jsonb_to_record(value) AS t (name text, columns text, content text[])
        ORDER BY position DESC
    LOOP
        BEGIN
            PERFORM set_config('{USER_SETTING}', target, true);
            EXECUTE format(
                'INSERT INTO %1$s (%2$s) OVERRIDING SYSTEM VALUE SELECT %2$s FROM unnest($1) AS content,
                jsonb_populate_record(content::%1$s, $2) AS moved', plugin_table.name, plugin_table.columns
            ) USING plugin_table.content, to_target;
            moved_rows := moved_rows + cardinality(plugin_table.content);
        EXCEPTION WHEN unique_violation THEN -- the target has such a row already
            PERFORM set_config('{USER_SETTING}', source, true);
            EXECUTE format(
                'INSERT INTO %1$s (%2$s) OVERRIDING SYSTEM VALUE SELECT %2$s FROM unnest($1) AS content,
                jsonb_populate_record(content::%1$s, ''{{}}'') AS moved', plugin_table.name, plugin_table.columns
            ) USING plugin_table.content;
            kept := kept || plugin_table.name;
        END;
    END LOOP;

    PERFORM set_config('{_RESULT}', json_build_object(
        'tasks', moved_tasks, 'rows', moved_rows, 'kept', kept
    )::text, true);
END
$move$
"""  # noqa: S608 - names of ours

MOVE = statement(
    lock_user,
    select(
        func.set_config(_TARGET, bindparam("target", type_=Text), true()),
        func.set_config(_RESULT, "", true()),
    ),
    text(_MOVE),
    select(func.nullif(func.current_setting(_RESULT), "")),
    idempotent=False,
    ensures_user=False,  # the block makes the target's row, if there is something to move
)
"""Moves the caller's rows to `target`. Returns JSON: what was moved, what stays (`kept`), or what is in
the way (`blockers`); null if the caller has nothing.
"""
