"""The kit's assertions: they pass for a good plugin, and find each planted leak and wrong order."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import pytest
from fastapi import APIRouter, Body, Depends, HTTPException, Query, Request, Response
from psycopg2.extensions import parse_dsn
from pydantic import BaseModel, ConfigDict
from sqlalchemy import text

from tasks_backend import OwnRows, Plugin, Settings, create_app, statement
from tasks_backend.db import migrations
from tasks_backend.http.json_body import JsonBody, json_body
from tasks_backend.testing import Contract, Signer, served
from tasks_backend.testing.databases import NEON_OWNER, Cluster

MIGRATION = '''
from alembic import op
from tasks_backend import row_level_security
revision, down_revision = "0001", None
def upgrade():
    op.execute("""CREATE TABLE tasks_backend_notes.notes (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
        number int GENERATED ALWAYS AS IDENTITY UNIQUE,
        user_id text NOT NULL REFERENCES tasks_backend.users ON DELETE CASCADE,
        text text NOT NULL, parent_id uuid, above int REFERENCES tasks_backend_notes.notes (number) ON DELETE SET NULL)""")
    op.execute(row_level_security("tasks_backend_notes.notes", ["SELECT", "INSERT", "UPDATE", "DELETE"]))
    op.execute("CREATE TABLE tasks_backend_notes.colours (name text)")
'''
PATH = "/api/v1/notes"
Json = Annotated[JsonBody, Depends(json_body("application/json"))]


class Note(BaseModel):
    model_config = ConfigDict(extra="forbid")
    text: str
    parent_id: UUID | None = None
    above_id: int | None = None
    user_id: str | None = None


SENT: dict[str, Any] = {
    "openapi_extra": {
        "requestBody": {"content": {"application/json": {"schema": Note.model_json_schema()}}}
    }
}
VALUES: dict[str, object] = {"text": "a", "parent_id": None, "above_id": None}
ENSURE = "INSERT INTO tasks_backend.users (id) VALUES (:user_id) ON CONFLICT DO NOTHING"
"""A good plugin's statements; a leak replaces some of them."""
GOOD = {
    "create": "INSERT INTO tasks_backend_notes.notes (user_id, text) VALUES (:user_id, :text) RETURNING id, text",
    "list": "SELECT id, text FROM tasks_backend_notes.notes WHERE user_id = :user_id",
    "get": "SELECT id, text FROM tasks_backend_notes.notes WHERE id = :id AND user_id = :user_id",
    "put": "UPDATE tasks_backend_notes.notes SET text = :text WHERE id = :id AND user_id = :user_id RETURNING id, text",
    "delete": "DELETE FROM tasks_backend_notes.notes WHERE id = :id AND user_id = :user_id RETURNING id, text",
}


def notes(*extra: Callable[[APIRouter], None], public: bool = False, **changed: str) -> Plugin:
    sent = {
        name: statement(*([text(ENSURE)] if name == "create" else []), text(sql), idempotent=False)
        for name, sql in {**GOOD, **changed}.items()
    }
    router = APIRouter()

    async def run(own: OwnRows, name: str, **values: object) -> list[dict[str, Any]]:
        rows = await own.run(sent[name], **values)
        return [{"id": str(row[0]), "text": str(row[1])} for row in rows]

    def first(rows: list[dict[str, Any]]) -> dict[str, Any]:
        if not rows:
            raise HTTPException(404, "There is no such note.")
        return rows[0]

    def values(body: JsonBody) -> dict[str, Any]:
        note = body.parse(Note)
        return {
            "text": note.text,
            "parent_id": note.parent_id and str(note.parent_id),
            "above_id": note.above_id,
            "owner": note.user_id,
        }

    @router.post("", status_code=201, **SENT)
    async def create(body: Json, own: OwnRows) -> dict[str, Any]:
        return first(await run(own, "create", **values(body)))

    @router.get("")
    async def list_(own: OwnRows, parent_id: UUID | None = None) -> list[dict[str, Any]]:
        return await run(own, "list", parent_id=parent_id and str(parent_id))

    @router.get("/{note_id}")
    async def get(note_id: UUID, own: OwnRows) -> dict[str, Any]:
        return first(await run(own, "get", id=str(note_id)))

    @router.put("/{note_id}", **SENT)
    async def put(note_id: UUID, body: Json, own: OwnRows) -> dict[str, Any]:
        first(await run(own, "get", id=str(note_id)))
        return first(await run(own, "put", id=str(note_id), **values(body)))

    @router.delete("/{note_id}", status_code=204)
    async def delete(note_id: UUID, own: OwnRows) -> None:
        first(await run(own, "delete", id=str(note_id)))

    for add in extra:
        add(router)
    return Plugin("notes", {"v1": router}, migrations=MIGRATIONS[0], public=public)


MIGRATIONS: list[Path] = []


@pytest.fixture(scope="module")
def deployment(
    cluster: Cluster, settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> Settings:
    MIGRATIONS[:] = [tmp_path_factory.mktemp("migrations")]
    (MIGRATIONS[0] / "0001_notes.py").write_text(MIGRATION)
    _, url = cluster.database(cluster.login(NEON_OWNER))
    migrations.upgrade(url, [notes()])
    return settings.model_copy(update={"database_url": url})


@pytest.fixture
def contract_of(
    deployment: Settings, cluster: Cluster, signer: Signer
) -> Iterator[Callable[[Plugin], Contract]]:
    with contextlib.ExitStack() as stack:

        def make(plugin: Plugin) -> Contract:
            app = create_app(deployment, plugins=[plugin])
            url = stack.enter_context(served(app))
            return Contract(app, url, signer, cluster, [plugin])

        yield make


def found(contract: Contract, **options: Any) -> str:
    try:
        contract.assert_isolation(**options)
    except AssertionError as error:
        return str(error)
    return ""


IGNORED = {"ignored_tables": {"tasks_backend_notes.colours"}}


def test_a_good_plugin_passes(contract_of: Callable[[Plugin], Contract]) -> None:
    contract = contract_of(notes())
    contract.assert_isolation(**IGNORED)  # type: ignore[arg-type]
    contract.assert_order_of_checks()


def test_tasks_pass(contract: Contract) -> None:
    without_user = {"tasks_backend.users", "tasks_backend.jobs"}
    contract.assert_isolation(ignored_tables={*without_user, "tasks_backend.idempotency_keys"})
    contract.assert_order_of_checks()


OWN = "user_id = :user_id"
NOTES = "tasks_backend_notes.notes"
COUNTED = f"SELECT gen_random_uuid(), count(*)::text FROM {NOTES}"
INSERTED = f"INSERT INTO {NOTES} (user_id, text, parent_id, above) VALUES "


GET_ANY = statement(
    text(f"SELECT text FROM {NOTES} WHERE id = ANY(CAST(:ids AS uuid[]))"), idempotent=True
)


class Item(BaseModel):
    id: UUID


class Selection(BaseModel):
    ids: list[UUID] = []
    items: list[Item] = []


def add_selection(where: str) -> Callable[[APIRouter], None]:
    """A route that shows the notes with these ids, whoever owns them."""

    def add(router: APIRouter) -> None:
        async def shown(own: OwnRows, ids: list[UUID]) -> str:
            return " ".join(row[0] for row in await own.run(GET_ANY, ids=ids))

        if where == "query":

            @router.get("/of/some")
            async def some(own: OwnRows, ids: Annotated[list[UUID], Query()]) -> str:
                return await shown(own, ids)

        else:

            @router.post("/of/some")
            async def of_body(body: Selection, own: OwnRows, response: Response) -> str:
                found = await shown(own, [*body.ids, *(item.id for item in body.items)])
                response.headers["X-Found"] = found
                return "" if where == "header" else found

    return add


def add_hidden(router: APIRouter) -> None:
    """A route that the document does not list, without a database."""

    @router.get("/all/of/them", include_in_schema=False)
    async def all_of_them(request: Request) -> list[str]:
        pool = request.app.state.database.pool
        rows = await pool.fetch(f"SELECT text FROM {NOTES}", {})
        return [str(row[0]) for row in rows]


LEAKS: dict[str, tuple[Callable[[], Plugin], str]] = {
    "list without an owner": (
        lambda: notes(list=f"SELECT id, text FROM {NOTES}"),
        f"GET {PATH} shows that another user has made rows",
    ),
    "get without an owner": (
        lambda: notes(get=f"SELECT id, text FROM {NOTES} WHERE id = :id"),
        "GET /api/v1/notes/{note_id} with another user's id in the path shows another user's row",
    ),
    "an existence that is told": (
        lambda: notes(
            get=f"SELECT id, CASE WHEN {OWN} THEN text ELSE '' END FROM {NOTES} WHERE id = :id"
        ),
        "GET /api/v1/notes/{note_id} tells that another user's row exists",
    ),
    "a count of everybody's": (
        lambda: notes(list=f"SELECT '{UUID(int=0)}', count(*)::text FROM {NOTES}"),
        f"GET {PATH} shows that another user has made rows",
    ),
    "a filter without an owner": (
        lambda: notes(list=f"SELECT id, text FROM {NOTES} WHERE {OWN} OR id = :parent_id"),
        "with another user's id as parent_id shows another user's row",
    ),
    "put without an owner": (
        lambda: notes(
            get=f"SELECT id, text FROM {NOTES} WHERE id = :id",
            put=f"UPDATE {NOTES} SET text = :text WHERE id = :id RETURNING id, ''",
        ),
        "PUT /api/v1/notes/{note_id} with another user's id in the path changes another user's rows",
    ),
    "delete without an owner": (
        lambda: notes(delete=f"DELETE FROM {NOTES} WHERE id = :id RETURNING id, ''"),
        "DELETE /api/v1/notes/{note_id} with another user's id in the path changes another user's",
    ),
    "an owner from the body": (
        lambda: notes(
            create=f"{INSERTED} (coalesce(:owner, :user_id), :text, NULL, NULL) RETURNING id, text"
        ),
        f"POST {PATH} with another user's id as user_id in the body changes another user's rows",
    ),
    "a foreign id in the body": (
        lambda: notes(create=f"{INSERTED} (:user_id, :text, :parent_id, NULL) RETURNING id, text"),
        f"POST {PATH} with another user's id as parent_id in the body stores another user's id in",
    ),
    "a foreign number in the body": (
        lambda: notes(
            create=f"{INSERTED} (:user_id, :text, NULL, (SELECT number FROM {NOTES} WHERE number = :above_id))"
            " RETURNING id, text"
        ),
        "stores a reference to another user's row",
    ),
    "foreign ids in a list of the query": (
        lambda: notes(add_selection("query")),
        f"GET {PATH}/of/some with another user's id as ids shows another user's row",
    ),
    "foreign ids in a list of the body": (
        lambda: notes(add_selection("body")),
        f"POST {PATH}/of/some with another user's id as ids in the body shows another user's row",
    ),
    "foreign ids in inner members": (
        lambda: notes(add_selection("body")),
        f"POST {PATH}/of/some with another user's id as id in the body shows another user's row",
    ),
    "another user's text in a header": (
        lambda: notes(add_selection("header")),
        f"POST {PATH}/of/some with another user's id as ids in the body shows another user's row",
    ),
    "a public plugin": (
        lambda: notes(public=True),
        f"GET {PATH} is public: it answers 500 without a token",
    ),
    "an unlisted route": (lambda: notes(add_hidden), "GET /api/v1/notes/all/of/them"),
}


@pytest.mark.proves("FR-010", "SC-003")
@pytest.mark.parametrize("leak", LEAKS)
def test_a_planted_leak_is_found(contract_of: Callable[[Plugin], Contract], leak: str) -> None:
    plugin, sentence = LEAKS[leak]
    assert sentence in found(contract_of(plugin()), **IGNORED)


@pytest.mark.proves("FR-010", "SC-003")
@pytest.mark.parametrize(
    ("change", "restored", "sentence"),
    [
        (f"ALTER TABLE {NOTES} DISABLE ROW LEVEL SECURITY", f"ALTER TABLE {NOTES} ENABLE ROW LEVEL SECURITY", "lets a user read"),
        (f"CREATE POLICY all_rows ON {NOTES} FOR INSERT WITH CHECK (true)", f"DROP POLICY all_rows ON {NOTES}", "lets a user insert"),
        (f"CREATE POLICY all_rows ON {NOTES} FOR DELETE USING (true)", f"DROP POLICY all_rows ON {NOTES}", "lets a user delete"),
        ("GRANT SELECT ON tasks_backend_notes.colours TO PUBLIC", "REVOKE ALL ON tasks_backend_notes.colours FROM PUBLIC", "has no user_id, and requests may use it"),
    ],
)  # fmt: skip
def test_a_missing_policy_is_found(
    contract_of: Callable[[Plugin], Contract],
    cluster: Cluster,
    deployment: Settings,
    change: str,
    restored: str,
    sentence: str,
) -> None:
    contract = contract_of(notes())
    with cluster.cursor(str(parse_dsn(deployment.database_url)["dbname"])) as cursor:
        cursor.execute(change)
        try:
            assert sentence in found(contract)
        finally:
            cursor.execute(restored)
    assert found(contract) == ""


def test_what_cannot_be_tried_is_a_failure(contract_of: Callable[[Plugin], Contract]) -> None:
    bodies = {f"POST {PATH}": {"text": 1}}
    told = found(contract_of(notes()), bodies=bodies)
    assert f"POST {PATH} cannot be tried, it answers 422 to the owner" in told
    assert "tasks_backend_notes.notes cannot be tried" in told


def add_plain(router: APIRouter) -> None:
    """A body that FastAPI reads: before the path is checked, and of any media type."""

    @router.patch("/{note_id}")
    async def patch(note_id: UUID, text: Annotated[str, Body(embed=True)]) -> str:
        return text


def test_a_wrong_order_is_found(contract_of: Callable[[Plugin], Contract]) -> None:
    with pytest.raises(AssertionError) as failure:
        contract_of(notes(add_plain)).assert_order_of_checks()
    for sentence in (
        "PATCH /api/v1/notes/{note_id}: another media type is answered with 422",
        "PATCH /api/v1/notes/{note_id}: an invalid note_id in the path is answered with 400",
        "PATCH /api/v1/notes/{note_id}: an existing row comes before the body is answered with 400",
    ):
        assert sentence in str(failure.value)
    assert "PUT" not in str(failure.value)
