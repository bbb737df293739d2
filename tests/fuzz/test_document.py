"""The OpenAPI document by itself: complete, consistent, and right about plugins, too."""

import json
import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import pytest
from fastapi import APIRouter, Query
from jsonschema import Draft202012Validator
from pydantic import BaseModel

from tasks_backend import Plugin, Settings, create_app
from tasks_backend.errors import ApiError
from tasks_backend.openapi import body, problems

SETTINGS = Settings(
    _env_file=None,
    database_url="postgresql://nobody@localhost/nowhere",
    better_auth_url="https://auth.example.com",
)
OPEN = {400, 413, 500}
CLOSED = OPEN | {401, 503, 504}
ONE = "/api/v1/tasks/{task_id}"


def document(*plugins: Plugin) -> Any:
    described = create_app(SETTINGS, plugins=plugins).openapi()
    for reference in re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(described)):
        part = described
        for name in reference.split("/"):
            part = part[name]
    return described


def operations(described: Any) -> Iterator[tuple[str, Any]]:
    for path, methods in described["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


@pytest.mark.proves("SC-008", "FR-011")
def test_every_status_that_can_be_answered_is_documented() -> None:
    statuses = {
        name: {int(status) for status in operation["responses"]}
        for name, operation in operations(document())
    }
    assert statuses == {
        "GET /livez": OPEN | {200},
        "GET /readyz": OPEN | {200, 503},
        "POST /api/v1/tasks": CLOSED | {201, 409, 415, 422},
        "GET /api/v1/tasks": CLOSED | {200, 422},
        f"GET {ONE}": CLOSED | {200, 404, 422},
        f"PATCH {ONE}": CLOSED | {200, 403, 404, 412, 415, 422},
        f"PUT {ONE}": CLOSED | {200, 403, 404, 412, 415, 422},
        f"POST {ONE}/toggle": CLOSED | {200, 403, 404, 409, 412, 422},
        f"DELETE {ONE}": CLOSED | {204, 403, 404, 412, 422},
    }


@pytest.mark.proves("SC-008", "FR-011")
def test_every_failure_has_the_one_shape_and_an_example_of_it() -> None:
    described = document()
    shape = Draft202012Validator({**described, "$ref": "#/components/schemas/Problem"})
    for name, operation in operations(described):
        for status, response in operation["responses"].items():
            assert "X-Request-Id" in response["headers"]
            if int(status) < 300:
                continue
            assert list(response["content"]) == ["application/problem+json"]
            examples = response["content"]["application/problem+json"]["examples"]
            assert examples
            for code, example in examples.items():
                shape.validate(example["value"])
                assert example["value"]["code"] == code
                assert example["value"]["status"] == int(status)
                assert example["value"]["instance"] == name.partition(" ")[2]


def test_a_lock_is_on_what_needs_a_token() -> None:
    for name, operation in operations(document()):
        assert operation["security"] == ([{"bearerAuth": []}] if "/api/" in name else [])


@pytest.mark.proves("SC-008")
def test_examples_are_what_they_are_examples_of() -> None:
    schemas = document()["components"]["schemas"]
    for name in ("TaskCreate", "TaskPatch", "TaskReplace", "TaskOut"):
        properties = schemas[name]["properties"].items()
        example = {
            field: schema.get("examples", schema.get("anyOf", [{}])[0].get("examples"))[0]
            for field, schema in properties
        }
        Draft202012Validator(schemas[name]).validate(example)


def test_a_patch_has_no_defaults_that_a_client_could_fill_in() -> None:
    fields = document()["components"]["schemas"]["TaskPatch"]["properties"]
    assert not [name for name, field in fields.items() if "default" in field]


class Colour(BaseModel):
    name: str


class TaskCreate(BaseModel):
    """Named as the body of another plugin."""

    colour: Colour


class Faded(ApiError):
    status, code, title, summary = 503, "faded", "Faded", "The colour has faded."

    def __init__(self) -> None:
        super().__init__(headers={"X-Faded": "1"})


def test_a_plugins_own_ways_are_documented_as_they_are_answered() -> None:
    router = APIRouter()
    described_body = body(TaskCreate, "application/json")

    @router.post("", responses=problems(Faded), openapi_extra={"requestBody": described_body})
    async def paint(
        shade: Annotated[Literal["dark", "light"] | None, Query()] = None,
    ) -> Colour:
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
