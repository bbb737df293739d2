"""Five generated clients compile and use every operation; docs/clients.md shows what each makes of it."""

import json
import secrets
from pathlib import Path
from typing import Any

import pytest
from support.markdown import table

from generators.conftest import Workshop
from generators.recording import UNKNOWN, Recording
from tasks_backend import Settings, create_app
from tasks_backend.testing.service import served
from tasks_backend.testing.signing import Signer

DOCUMENT = Path(__file__).parents[2] / "docs/clients.md"
METHODS = {"get", "post", "put", "patch", "delete"}
CLIENTS = {
    "openapi-typescript, openapi-fetch": ("node", "build/clients/openapi_fetch.js"),
    "@hey-api/openapi-ts": ("node", "build/clients/hey_api.js"),
    "orval, with zod": ("node", "build/clients/orval.js"),
    "openapi-python-client": ("python", "clients/openapi_python_client.py"),
    "OpenAPI Generator, python": ("python", "clients/openapi_generator.py"),
}
FOUND = {
    "alive": ["alive", "ready"],
    "same": True,
    "replayed": "true",
    "etag": '"1"',
    "kept": "two",
    "cleared": None,
    "stale": "version_mismatch",
    "invalid": ["title"],
    "toggled": True,
    "total": 1,
    "updated": 1,
    "deleted": 0,
    "gone": 204,
    "missing": "task_not_found",
    "unknown": "of_a_plugin",
    "head": 200,
}
FACTS = [
    "ETag",
    "204",
    "`null`",
    "A failure",
    "An unknown `code`",
    "`completed` in the query",
    "HEAD",
    "`Idempotency-Key`, `If-Match`",
]


@pytest.fixture(scope="session")
def compiled(workshop: Workshop) -> Workshop:
    """The clients and the programs that use them, checked strictly."""
    assert workshop.complaints("tsc", "-p", ".") == ""
    programs = ["clients/openapi_python_client.py", "clients/openapi_generator.py"]
    assert workshop.complaints("mypy", "--strict", *programs) == ""
    return workshop


def test_each_client_uses_every_operation(
    compiled: Workshop, openapi: dict[str, Any], settings: Settings, signer: Signer
) -> None:
    """The compilers also refuse a filter that is a text."""
    operations = {
        (method, path)
        for path, methods in openapi["paths"].items()
        for method in METHODS & methods.keys()
    }
    assert len(operations) == 11
    columns = {}
    for name, command in CLIENTS.items():
        recording = Recording(create_app(settings))
        with served(recording) as url:  # type: ignore[arg-type] # uvicorn takes any ASGI application
            environment = {
                "TASKS_URL": url,
                "TASKS_TOKEN": signer.token(secrets.token_hex(16)),
                "TASKS_UNKNOWN": UNKNOWN,
            }
            found = json.loads(compiled.run(*command, **environment))
        columns[name] = found.pop("table")
        assert found == FOUND, name
        done = {each for each, statuses in recording.used.items() if min(statuses) < 300}
        assert done - {("head", "/api/v1/tasks")} == operations, name
    rows = [(what, *(column[what] for column in columns.values())) for what in FACTS]
    shown = table(("", *columns), rows)
    assert shown in DOCUMENT.read_text(), f"docs/clients.md needs this table:\n{shown}"
