"""The session of SQLAlchemy that docs/plugins.md shows acts as the caller."""

import httpx2
import pytest
from support import reports

from tasks_backend import Settings, create_app
from tasks_backend.testing.service import served
from tasks_backend.testing.signing import Signer

REPORTS, TASKS = "/api/v1/reports", "/api/v1/tasks"


@pytest.mark.proves("FR-020", "SC-003")
def test_a_session_sees_the_callers_rows_alone_and_leaves_no_identity(
    settings: Settings, signer: Signer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The query names no owner, and all requests share one connection."""
    monkeypatch.setenv("REPORTS_DATABASE_URL", settings.database_url)
    with served(create_app(settings, plugins=[reports.plugin])) as url:
        for user in ("session-ann", "session-ben", "session-nobody"):
            headers = {"Authorization": f"Bearer {signer.token(user)}"}
            with httpx2.Client(base_url=url, headers=headers, timeout=30) as client:
                titles = [] if user == "session-nobody" else [f"a {user}", f"b {user}"]
                for title in titles:
                    assert client.post(TASKS, json={"title": title}).status_code == 201
                assert client.get(f"{REPORTS}/titles").json() == titles
                assert client.get(f"{REPORTS}/transactions").json() == titles * 2
                assert client.get(f"{REPORTS}/login").json() == ["none", ""]
