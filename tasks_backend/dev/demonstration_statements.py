"""The SQL of the demonstration user's tasks; the server generates them in one statement.

Their ids are UUIDv7 in order of creation. They end in a mark and a number, so that the next seed
deletes only the tasks of the last one.
"""

SEED_MARK = "85ed"

DELETE_SEEDED_TASKS = f"""
DELETE FROM tasks_backend.tasks
WHERE user_id = %(user_id)s AND id::text LIKE '%%-{SEED_MARK}-0000000_____'
"""  # noqa: S608 - a constant of ours

INSERT_TASKS = f"""
INSERT INTO tasks_backend.users (id) VALUES (%(user_id)s) ON CONFLICT DO NOTHING;
INSERT INTO tasks_backend.tasks
    (id, user_id, title, description, completed, version, created_at, updated_at)
SELECT
    (
        lpad(to_hex(floor(extract(epoch FROM made) * 1000)::bigint), 12, '0')
        || '7000{SEED_MARK}' || lpad(to_hex(number), 12, '0')
    )::uuid,
    %(user_id)s,
    phrase.title,
    phrase.description,
    done,
    CASE WHEN done THEN 2 ELSE 1 END,
    made,
    CASE WHEN done THEN made + (now() - made) * 0.5 ELSE made END
FROM
    generate_series(1, %(count)s) AS number,
    LATERAL (SELECT
        now() - (%(count)s - number + 1) * least(interval '7 hours', interval '1 year' / %(count)s),
        hashint4(number) & 1023
    ) AS spread (made, luck),
    LATERAL (SELECT luck %% 3 > 0 AND number <= %(count)s * 0.9) AS progress (done),
    LATERAL (SELECT cardinality(%(titles)s::text[])) AS phrases (known),
    LATERAL (SELECT 1 + (number * 17 + number / known) %% known) AS choice (which),
    LATERAL (SELECT
        (%(titles)s::text[])[which],
        (%(descriptions)s::text[])[which]
    ) AS phrase (title, description)
"""  # noqa: S608 - a constant of ours
