"""Which tests prove which requirement: collected from the marker `proves`, kept in docs."""

from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

REQUIREMENTS = {
    "US1-AC1": "A valid creation request makes a task of the caller's",
    "US1-AC2": "Invalid data gets appropriate error messages",
    "US1-AC3": "Creating without authentication is a 401",
    "US2-AC1": "The list has the caller's tasks only",
    "US2-AC2": "An own task can be read",
    "US2-AC3": "Reading another user's task is a 404",
    "US3-AC1": "Updates of an own task are saved",
    "US3-AC2": "Completion can be toggled",
    "US3-AC3": "Changing another user's task is a 403",
    "US4-AC1": "An own task can be deleted",
    "US4-AC2": "Deleting another user's task is a 403",
    "EDGE-1": "A user attempts to access another user's tasks",
    "EDGE-2": "Expired tokens",
    "EDGE-3": "Access without authentication",
    "EDGE-4": "The database is temporarily unavailable",
    "EDGE-5": "Malformed data",
    "EDGE-6": "Invalid tokens",
    "EDGE-7": "An intermediary stands between client and service",
    "EDGE-9": "One user, or somebody without a token, sends as much as they can",
    "FR-001": "A RESTful API for task management",
    "FR-002": "All incoming data is validated",
    "FR-003": "Create tasks with a title and an optional description",
    "FR-004": "Retrieve one's own tasks only",
    "FR-005": "Update title, description and completion",
    "FR-006": "Delete one's own tasks",
    "FR-007": "All task data is persisted in PostgreSQL",
    "FR-008": "Tokens are verified on all authenticated requests",
    "FR-009": "Invalid or expired tokens are a 401",
    "FR-010": "Access only to resources of one's own account",
    "FR-011": "Consistent JSON responses with appropriate statuses",
    "FR-012": "Database failures are handled gracefully",
    "FR-017": "Tokens issued to another client or for a narrower purpose are refused",
    "FR-018": "Every connection ends and every resource is released within documented bounds",
    "SC-001": "Tasks are persisted reliably",
    "SC-002": "Unauthorized access is blocked, always",
    "SC-003": "No cross-user access, ever",
    "SC-004": "REST conventions",
    "SC-005": "Authentication is enforced on all protected routes",
    "SC-006": "Responses well within 500 ms under normal load",
    "SC-007": "Rebuilt from specification and plan, automatically",
    "SC-008": "Testable with Postman or similar clients",
}
DOCUMENT = Path(__file__).parents[2] / "docs" / "traceability.md"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-traceability", action="store_true", help=f"rewrite {DOCUMENT.name}")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Hold the document against the markers, whenever the whole suite is collected."""
    proofs = defaultdict(set)
    for item in session.items:
        name = item.nodeid.partition("[")[0].removeprefix("tests/")
        for marker in item.iter_markers("proves"):
            for requirement in marker.args:
                proofs[requirement].add(name)
    unknown = proofs.keys() - REQUIREMENTS
    if unknown:
        raise pytest.UsageError(f"no such requirement: {', '.join(sorted(unknown))}")
    if not _whole_suite(session.config):
        return
    unproved = [requirement for requirement in REQUIREMENTS if not proofs[requirement]]
    if unproved:
        raise pytest.UsageError(f"no test proves {', '.join(unproved)}")
    document = _document(proofs)
    if session.config.getoption("--write-traceability"):
        DOCUMENT.write_text(document)
    elif not DOCUMENT.exists() or DOCUMENT.read_text() != document:
        raise pytest.UsageError("docs/traceability.md is not current: pytest --write-traceability")


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell pytest-xdist's workers, who are given paths, what was asked for."""
    node.workerinput["whole_suite"] = _whole_suite(node.config)


def _whole_suite(config: pytest.Config) -> bool:
    if hasattr(config, "workerinput"):
        return bool(config.workerinput["whole_suite"])
    narrowed = config.getoption("keyword") or config.getoption("markexpr")
    return not narrowed and config.args_source is not pytest.Config.ArgsSource.ARGS


def _document(proofs: dict[str, set[str]]) -> str:
    lines = [
        "# Which tests prove what",
        "",
        "Made by `pytest --write-traceability` from the marker `proves`; the suite fails if a",
        "requirement has no test or this page is not current. `US1-AC1` is the first acceptance",
        "scenario of user story 1, `EDGE-1` the first edge case of the specification.",
        "",
        "| requirement | says | proved by |",
        "|---|---|---|",
    ]
    for requirement, says in REQUIREMENTS.items():
        tests = "<br>".join(f"`{name}`" for name in sorted(proofs[requirement]))
        lines.append(f"| {requirement} | {says} | {tests} |")
    return "\n".join(lines) + "\n"
