"""The OpenAPI document: complete and consistent, also for plugins."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import httpx2
import pytest
from fastapi import APIRouter, FastAPI, Query
from jsonschema import Draft202012Validator
from pydantic import BaseModel
from support.documents import COMMITTED, SETTINGS, document

from tasks_backend import Plugin, create_app
from tasks_backend.errors import ApiError
from tasks_backend.openapi import Tag, body, problems
from tasks_backend.tasks import examples
from tasks_backend.testing.service import served

COMMAND = (
    "DATABASE_URL=postgresql://a/b BETTER_AUTH_URL=https://c.de"
    " tasks-backend openapi > docs/openapi.json"
)
OPEN = {400, 413, 500}
CLOSED = OPEN | {401, 503, 504}
ONE = "/api/v1/tasks/{task_id}"


def operations(described: Any) -> Iterator[tuple[str, Any]]:
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


@pytest.mark.proves("SC-008")
def test_the_committed_document_is_current() -> None:
    """So a change of the contract is visible in review."""
    text = json.dumps(document(), indent=2, ensure_ascii=False) + "\n"
    assert text == COMMITTED.read_text(), f"write it anew: {COMMAND}"


def test_the_command_prints_the_document_whatever_the_settings() -> None:
    """The failure message of the test above names it."""
    printed = subprocess.run(
        [sys.executable, "-m", "tasks_backend", "openapi"],
        env={**os.environ, "DATABASE_URL": "postgresql://a/b", "BETTER_AUTH_URL": "https://c.de"},
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert printed.stdout == COMMITTED.read_bytes()


def test_every_reference_resolves() -> None:
    described = document()
    for reference in re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(described)):
        part = described
        for name in reference.split("/"):
            part = part[name]


@pytest.mark.proves("SC-008", "FR-011")
def test_every_possible_status_is_documented() -> None:
    statuses = {
        name: {int(status) for status in operation["responses"]}
        for name, operation in operations(document())
    }
    assert statuses == {
        "GET /livez": OPEN | {200},
        "GET /readyz": OPEN | {200, 503},
        "POST /api/v1/tasks": CLOSED | {201, 409, 415, 422},
        "GET /api/v1/tasks": CLOSED | {200, 422},
        "PATCH /api/v1/tasks": CLOSED | {200, 409, 412, 415, 422},
        "DELETE /api/v1/tasks": CLOSED | {200, 409, 412, 422},
        f"GET {ONE}": CLOSED | {200, 404, 422},
        f"PATCH {ONE}": CLOSED | {200, 403, 404, 412, 415, 422},
        f"PUT {ONE}": CLOSED | {200, 403, 404, 412, 415, 422},
        f"POST {ONE}/toggle": CLOSED | {200, 403, 404, 409, 412, 422},
        f"DELETE {ONE}": CLOSED | {204, 403, 404, 412, 422},
    }


@pytest.mark.proves("SC-008", "FR-011")
def test_every_failure_is_a_problem_with_an_example() -> None:
    described = document()
    shape = Draft202012Validator({**described, "$ref": "#/components/schemas/Problem"})
    for name, operation in operations(described):
        for status, response in operation["responses"].items():
            assert "X-Request-Id" in response["headers"]
            if int(status) < 300:
                continue
            assert list(response["content"]) == ["application/problem+json"]
            shown = response["content"]["application/problem+json"]["examples"]
            assert shown
            for code, example in shown.items():
                shape.validate(example["value"])
                assert example["value"]["code"] == code
                assert example["value"]["status"] == int(status)
                path = name.partition(" ")[2].replace("{task_id}", examples.TASK_ID)
                assert example["value"]["instance"] == path


def test_exactly_the_protected_operations_need_a_token() -> None:
    for name, operation in operations(document()):
        assert operation["security"] == ([{"bearerAuth": []}] if "/api/" in name else [])


@pytest.mark.proves("SC-008")
def test_examples_match_their_schemas() -> None:
    """Examples of each field, of each schema, of each body and each answer."""
    described = document()
    for name, schema in described["components"]["schemas"].items():
        shape = Draft202012Validator({**described, "$ref": f"#/components/schemas/{name}"})
        fields = schema["properties"].items()
        for field, meant in fields:
            for example in meant["examples"]:
                Draft202012Validator({**described, **meant}).validate(example)
                assert field
        shape.validate({field: meant["examples"][0] for field, meant in fields})
    contents = [
        content
        for _, operation in operations(described)
        for part in (operation.get("requestBody", {}), *operation["responses"].values())
        for content in part.get("content", {}).values()
    ]
    for content in contents:
        for example in content["examples"].values():
            Draft202012Validator({**described, **content["schema"]}).validate(example["value"])
    page = described["paths"]["/api/v1/tasks"]["get"]["responses"]["200"]["content"]
    last = page["application/json"]["examples"]["the_last_page"]["value"]
    assert last["next_cursor"] is None, "what FastAPI would leave out"


def test_a_nullable_field_has_one_type_as_in_openapi_3_1() -> None:
    schemas = document()["components"]["schemas"]
    for name in ("Task", "TaskCreate", "TaskPatch", "TaskReplace"):
        assert schemas[name]["properties"]["description"]["type"] == ["string", "null"]
    assert "anyOf" not in json.dumps(schemas)


def test_responses_outside_of_operations_are_described() -> None:
    described = document()
    answers = described["components"]["responses"]
    assert described["x-of-no-operation"] == {
        "404": {"$ref": "#/components/responses/NotFound"},
        "405": {"$ref": "#/components/responses/MethodNotAllowed"},
    }
    assert set(answers["MethodNotAllowed"]["headers"]) == {"Allow", "X-Request-Id"}


def test_the_server_is_the_root_path_of_the_application() -> None:
    app = create_app(SETTINGS)
    assert [server["url"] for server in app.openapi()["servers"]] == ["/"]
    behind = create_app(SETTINGS)
    behind.root_path = "/todo"
    assert [server["url"] for server in behind.openapi()["servers"]] == ["/todo"]


def test_in_a_larger_application_the_first_server_is_the_prefix() -> None:
    larger = FastAPI()
    larger.mount("/todo", create_app(SETTINGS))
    with served(larger) as url:
        described = httpx2.get(f"{url}/todo/openapi.json", timeout=30).json()
    assert described["servers"][0]["url"] == "/todo"


def test_the_document_is_created_once() -> None:
    """It takes a tenth of a second, and any client can request it."""
    app = create_app(SETTINGS)
    assert app.openapi() is app.openapi()


def test_a_patch_has_no_defaults() -> None:
    fields = document()["components"]["schemas"]["TaskPatch"]["properties"]
    assert not [name for name, field in fields.items() if "default" in field]


class Colour(BaseModel):
    name: str


class TaskCreate(BaseModel):
    """Has the name of another plugin's body."""

    colour: Colour


class Faded(ApiError):
    status, code, title, summary = 503, "faded", "Faded", "The colour has faded."

    def __init__(self) -> None:
        super().__init__(headers={"X-Faded": "1"})


def test_the_document_agrees_with_the_answers_of_a_plugin() -> None:
    router = APIRouter(tags=[Tag("paint", "Colours of one's own."), "plain"])
    described_body = body(TaskCreate, "application/json")

    @router.post("", responses=problems(Faded), openapi_extra={"requestBody": described_body})
    async def paint(shade: Annotated[Literal["dark", "light"] | None, Query()] = None) -> Colour:
        raise NotImplementedError

    @router.put("")
    async def repaint(colour: Colour) -> Colour:
        raise NotImplementedError

    described = document(Plugin(name="colours", routers={"v1": router}))
    schemas = described["components"]["schemas"]
    paint_it, repaint_it = (described["paths"]["/api/v1/colours"][m] for m in ("post", "put"))
    assert "colour" in schemas["TaskCreate-2"]["properties"]
    assert "title" in schemas["TaskCreate"]["properties"]
    assert paint_it["requestBody"]["content"]["application/json"]["schema"] == {
        "$ref": "#/components/schemas/TaskCreate-2"
    }
    (shade,) = paint_it["parameters"]
    assert shade["schema"]["enum"] == ["dark", "light"]
    assert "anyOf" not in shade["schema"]
    unavailable = paint_it["responses"]["503"]
    assert unavailable["description"].startswith("The colour has faded. · ")
    assert {"X-Faded", "Retry-After"} < set(unavailable["headers"])
    examples = unavailable["content"]["application/problem+json"]["examples"]
    assert {"faded", "database_unavailable"} < set(examples)
    assert list(repaint_it["responses"]["422"]["content"]) == ["application/problem+json"]
    assert "HTTPValidationError" not in schemas
    assert described["tags"][-2:] == [
        {"name": "paint", "description": "Colours of one's own."},
        {"name": "plain"},
    ]
