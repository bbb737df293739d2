"""The documented schemas and the models accept the same bodies."""

import json
import uuid
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from tasks_backend import Settings, create_app
from tasks_backend.errors import InvalidCursor, ValidationFailed
from tasks_backend.http import pagination
from tasks_backend.http.json_body import JsonBody
from tasks_backend.tasks.models import TaskCreate, TaskPatch, TaskReplace, TasksChange

jsonschema_rs = pytest.importorskip("jsonschema_rs")  # the validator of Schemathesis

BODIES: list[type[BaseModel]] = [TaskCreate, TaskPatch, TaskReplace, TasksChange]
BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

thorough = settings(max_examples=1_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
odd = st.text(st.sampled_from(" \u00a0\u3000\n\t\0\x85\u2028az\U0001f4b8"), max_size=6)
texts = st.one_of(
    odd,
    st.text(max_size=12),
    st.builds(
        lambda start, filling, length, end: start + filling * length + end,
        odd,
        st.sampled_from("z \U0001f4b8"),
        st.sampled_from([196, 200, 9_996, 10_000]),
        odd,
    ),
)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
anything = st.one_of(texts, values)
good: dict[str, st.SearchStrategy[Any]] = {
    "title": st.text("az \u00a0\U0001f4b8", min_size=1, max_size=6),
    "description": st.none() | st.text("az \n\t", max_size=6),
    "completed": st.booleans(),
}
bodies = st.one_of(
    values,
    st.fixed_dictionaries(good),
    st.fixed_dictionaries({}, optional=good),
    *(st.fixed_dictionaries(good | {name: anything}) for name in (*good, *good, "user_id")),
)


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """The document, without a running service."""
    return create_app(
        Settings(
            _env_file=None,
            database_url="postgresql://nobody@localhost/nowhere",
            better_auth_url="https://auth.example.com",
        )
    ).openapi()


@pytest.mark.proves("FR-002")
@pytest.mark.parametrize("model", BODIES)
def test_a_body_is_accepted_exactly_if_its_schema_allows_it(
    model: type[BaseModel], document: dict[str, Any]
) -> None:
    schema = document["components"]["schemas"][model.__name__]
    documented = jsonschema_rs.Draft202012Validator(schema)

    @thorough
    @given(bodies)
    def compare_schema_and_model(body: Any) -> None:
        try:
            JsonBody(json.dumps(body).encode()).parse(model)
        except ValidationFailed:
            taken = False
        else:
            taken = True
        assert documented.is_valid(body) == taken

    compare_schema_and_model()


@thorough
@given(st.uuids(), st.integers(0, 40), st.text(BASE64 + "=+/ \n", max_size=2))
def test_a_changed_cursor_is_refused(last: uuid.UUID, position: int, replacement: str) -> None:
    cursor = pagination.encode(str(last), "desc None")
    changed = cursor[:position] + replacement + cursor[position + 1 :]
    if changed == cursor:
        assert pagination.decode(changed, "desc None") == last
    else:
        with pytest.raises(InvalidCursor):
            pagination.decode(changed, "desc None")
