"""`dev --seed`: realistic tasks, quickly made; a new seed replaces the last one."""

from pathlib import Path
from typing import Any

from support.commands import invoked

from tasks_backend.db import migrations
from tasks_backend.dev.demonstration import seed
from tasks_backend.settings import Settings
from tasks_backend.testing.databases import SUPERUSER, Cluster

COMMANDS = Path(__file__).parents[1] / "docs" / "commands.md"
MINE = "01900000-0000-7000-85ed-1234567890ab"  # only its end is a seed's


def rows(cluster: Cluster, name: str, sql: str) -> list[tuple[Any, ...]]:
    with cluster.cursor(name) as cursor:
        cursor.execute(sql)
        found: list[tuple[Any, ...]] = cursor.fetchall()
        return found


def test_a_seed_replaces_the_last_one_and_nothing_else(cluster: Cluster) -> None:
    name, url = cluster.database(cluster.login(SUPERUSER))
    migrations.upgrade(url)
    seed(url, "alice", 5)
    with cluster.cursor(name) as cursor:
        cursor.execute("INSERT INTO tasks_backend.users (id) VALUES ('bob')")
        for user, task_id in (("alice", MINE), ("bob", "01900000-0000-7000-85ed-000000000001")):
            cursor.execute(
                "INSERT INTO tasks_backend.tasks (id, user_id, title) VALUES (%s, %s, 'own')",
                (task_id, user),
            )
    for count in (40, 40, 12, 0):
        seed(url, "alice", count)
        counted = "SELECT user_id, count(*) FROM tasks_backend.tasks GROUP BY 1 ORDER BY 1"
        assert rows(cluster, name, counted) == [("alice", count + 1), ("bob", 1)]
    assert rows(cluster, name, "SELECT DISTINCT title FROM tasks_backend.tasks") == [("own",)]


def test_the_largest_seed_is_what_a_user_may_have(tmp_path: Path) -> None:
    """In the help, in docs/commands.md and in the settings."""
    most = Settings.model_fields["max_tasks_per_user"].default
    assert f"0<=x<={most}" in invoked(tmp_path, "dev", "--help").output
    assert f"The maximum is {most:,} (`MAX_TASKS_PER_USER`)" in COMMANDS.read_text()
    assert invoked(tmp_path, "dev", "--seed", str(most + 1)).exit_code == 2


def test_seeded_tasks_are_realistic(cluster: Cluster) -> None:
    name, url = cluster.database(cluster.login(SUPERUSER))
    migrations.upgrade(url)
    seed(url, "alice", 10_000)
    (figures,) = rows(
        cluster,
        name,
        "SELECT count(*) FILTER (WHERE completed), count(description), count(DISTINCT title),"
        " bool_and(created_at <= updated_at AND updated_at <= now()),"
        " bool_and(completed = (version > 1)) FROM tasks_backend.tasks",
    )
    completed, described, titles, in_time, changed_if_done = figures
    assert 5_000 < completed < 7_000
    assert 1_000 < described < 3_000
    assert titles > 30
    assert in_time
    assert changed_if_done
    by_id = rows(cluster, name, "SELECT created_at FROM tasks_backend.tasks ORDER BY id")
    assert by_id == sorted(by_id)
