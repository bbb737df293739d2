"""Liveness, readiness and documentation: no token, no data, outside /api."""

import httpx2
import pytest

from tasks_backend import Settings, create_app
from tasks_backend.db import migrations
from tasks_backend.db.statements import REVISIONS
from tasks_backend.testing.databases import NEON_OWNER, Cluster
from tasks_backend.testing.service import problem, served

MARK = "UPDATE tasks_backend.alembic_version SET version_num = %s"


def test_liveness_needs_only_the_process(anonymous: httpx2.Client) -> None:
    response = anonymous.get("/livez")
    assert (response.status_code, response.json()) == (200, {"status": "alive"})


@pytest.mark.proves("EDGE-4")
def test_readiness_needs_a_database_with_the_right_revision(
    settings: Settings, cluster: Cluster
) -> None:
    name, url = cluster.database(cluster.login(NEON_OWNER))
    app = create_app(settings.model_copy(update={"database_url": url}))
    with served(app) as base, httpx2.Client(base_url=base) as client:
        problem(client.get("/readyz"), 503, "database_unavailable")
        migrations.upgrade(url)
        assert client.get("/readyz").json() == {"status": "ready", "keys": False}
        with cluster.cursor(name) as cursor:
            cursor.execute(MARK, (REVISIONS[-2],))
            problem(client.get("/readyz"), 503, "database_unavailable")
            cursor.execute(MARK, ("that of a later release",))
            assert client.get("/readyz").status_code == 200, "it is migrated while this one serves"


def test_the_documentation_can_be_switched_off(settings: Settings) -> None:
    app = create_app(settings.model_copy(update={"docs_enabled": False}))
    with served(app) as base, httpx2.Client(base_url=base) as client:
        for path in ("/docs", "/openapi.json"):
            problem(client.get(path), 404, "not_found")


@pytest.mark.proves("SC-008")
def test_the_document_describes_every_operation(anonymous: httpx2.Client) -> None:
    document = anonymous.get("/openapi.json").json()
    operations = {
        (method.upper(), path) for path, item in document["paths"].items() for method in item
    }
    assert operations == {
        ("POST", "/api/v1/tasks"),
        ("GET", "/api/v1/tasks"),
        ("PATCH", "/api/v1/tasks"),
        ("DELETE", "/api/v1/tasks"),
        ("GET", "/api/v1/tasks/{task_id}"),
        ("PATCH", "/api/v1/tasks/{task_id}"),
        ("PUT", "/api/v1/tasks/{task_id}"),
        ("POST", "/api/v1/tasks/{task_id}/toggle"),
        ("DELETE", "/api/v1/tasks/{task_id}"),
        ("GET", "/livez"),
        ("GET", "/readyz"),
    }
