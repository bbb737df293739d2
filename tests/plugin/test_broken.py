"""Every broken plugin stops the start, with one sentence that names it."""

import re
from pathlib import Path

import httpx2
import pytest
from support.commands import free_port, run, serving

from tasks_backend.testing.databases import NEON_OWNER, Cluster
from tasks_backend.testing.service import problem

NOWHERE = "postgresql://nobody@127.0.0.1:1/nothing"
OTHER = r"\(installed: .*audit.*\)"


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("not-installed", f"PLUGINS names 'not-installed', which is not installed {OTHER}"),
        ("no-plugin", "plugin 'no-plugin': its entry point is no tasks_backend.Plugin"),
        ("import-error", "plugin 'import-error' cannot be loaded: ImportError: .*no_such_name.*"),
        ("bad-version", r"plugin 'bad-version': '1.0' is no version such as 'v1'"),
        ("misnamed", "plugin 'misnamed': its entry point is a plugin named 'socket'"),
        ("tasks", "plugin 'tasks' is given twice"),
        ("audit,audit", "plugin 'audit' is given twice"),
        ("mount", "plugin 'mount': a Mount at /api/v1/mount/all cannot be mounted"),
        ("socket", "plugin 'socket': a .*WebSocketRoute at /api/v1/socket/live cannot be mounted"),
        (
            "missing-migrations",
            "plugin 'missing-migrations': there are no migrations in .*/tasks_backend_broken/missing",
        ),
    ],
)
@pytest.mark.parametrize("command", ["serve", "openapi"])
def test_a_broken_plugin_stops_the_start(
    tmp_path: Path, environment: dict[str, str], command: str, name: str, sentence: str
) -> None:
    result = run(tmp_path, command, **{**environment, "DATABASE_URL": NOWHERE, "PLUGINS": name})
    assert (result.returncode, result.stdout) == (2, "")
    assert re.fullmatch(rf"error: {sentence}\n", result.stderr), result.stderr


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_lifespan_that_raises_stops_the_start(
    tmp_path: Path, environment: dict[str, str], workers: str
) -> None:
    """Each worker logs it, and the service's exit code shows it."""
    arguments = ("serve", "--port", str(free_port()), "--workers", workers)
    variables = {**environment, "DATABASE_URL": NOWHERE, "PLUGINS": "audit,raising-lifespan"}
    result = run(tmp_path, *arguments, **variables)
    said = "plugin 'raising-lifespan': its lifespan failed: RuntimeError: no disk no network"
    assert result.stderr.count(said) == int(workers), result.stderr
    assert "Traceback" not in result.stderr
    assert "Application startup complete" not in result.stderr
    assert result.returncode == 1


def test_a_migration_that_fails_leaves_nothing_behind(
    tmp_path: Path, environment: dict[str, str], cluster: Cluster
) -> None:
    name, url = cluster.database(cluster.login(NEON_OWNER))
    variables = {"DATABASE_URL": url, "PLUGINS": "audit,failing-migration"}
    result = run(tmp_path, "migrate", **variables)
    assert (result.returncode, result.stdout) == (1, "")
    sentence = (
        "error: plugin 'failing-migration': its migrations fail:"
        r' UndefinedObject: type "no_such_type" does not exist.*\n'
    )
    assert re.fullmatch(sentence, result.stderr), result.stderr
    with cluster.cursor(name) as cursor:
        cursor.execute("SELECT to_regclass('tasks_backend_failing_migration.half')")
        assert cursor.fetchall() == [(None,)]
        cursor.execute("SELECT FROM tasks_backend.tasks, tasks_backend_audit.entries")
    with serving(tmp_path, **{**environment, **variables}) as base:
        problem(httpx2.get(f"{base}/readyz"), 503, "database_unavailable")


def test_missing_migrations_leave_the_database_unchanged(tmp_path: Path, cluster: Cluster) -> None:
    name, url = cluster.database(cluster.login(NEON_OWNER))
    result = run(tmp_path, "migrate", DATABASE_URL=url, PLUGINS="missing-migrations")
    assert result.returncode == 2
    assert result.stderr.startswith("error: plugin 'missing-migrations': there are no migrations")
    with cluster.cursor(name) as cursor:
        cursor.execute("SELECT to_regnamespace('tasks_backend')")
        assert cursor.fetchall() == [(None,)]
