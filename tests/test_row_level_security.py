"""Row-level security protects against a statement without an owner predicate, for each login."""

import secrets
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from sqlalchemy import BinaryExpression, BindParameter, true
from sqlalchemy.sql import visitors
from support.statements import STATEMENTS, plant

from tasks_backend import Settings, create_app
from tasks_backend.db import migrations
from tasks_backend.db.statements import Statement
from tasks_backend.tasks.quota import Limit
from tasks_backend.testing.databases import NEON_OWNER, PLAIN_OWNER, SUPERUSER, Cluster
from tasks_backend.testing.service import User, problem, served
from tasks_backend.testing.signing import Signer

TASKS = "/api/v1/tasks"
WHOLE = {"title": "Mine now", "description": None, "completed": True}


@pytest.fixture(scope="module", params=["neon", "plain", "superuser", "least privileged"])
def deployment(request: pytest.FixtureRequest, cluster: Cluster) -> str:
    """The URL of a migrated database for this kind of login."""
    attributes = {"plain": PLAIN_OWNER, "superuser": SUPERUSER}.get(request.param, NEON_OWNER)
    name, url = cluster.database(cluster.login(attributes))
    migrations.upgrade(url)
    if request.param == "least privileged":
        login = cluster.login("NOINHERIT")
        with cluster.cursor() as cursor:
            cursor.execute(f"GRANT tasks_app TO {login}")
        return cluster.url_of(name, login)
    return url


@pytest.fixture(scope="module")
def people(deployment: str, settings: Settings, signer: Signer) -> Iterator[tuple[User, User]]:
    app = create_app(settings.model_copy(update={"database_url": deployment}))
    with served(app) as url:
        clients = [
            httpx2.Client(base_url=url, headers={"Authorization": f"Bearer {signer.token(sub)}"})
            for sub in ("rls-alice", "rls-bob")
        ]
        yield User("rls-alice", clients[0]), User("rls-bob", clients[1])
        for client in clients:
            client.close()


def attack(alice: User, bob: User, *, locked_only: bool) -> None:
    """Try every operation on Bob's task as Alice; with `locked_only`, do not check answers."""
    task = bob.create(title="Bob's own")
    path = f"{TASKS}/{task['id']}"
    answers = [
        alice.client.get(path),
        alice.client.get(TASKS),
        alice.client.get(TASKS, params={"order": "asc"}),
        *(
            alice.client.request(method, path + suffix, json=body, headers=headers)
            for method, suffix, body in (
                ("PATCH", "", {"title": "Mine now"}),
                ("PATCH", "", {}),
                ("PUT", "", WHOLE),
                ("POST", "/toggle", None),
                ("DELETE", "", None),
            )
            for headers in ({}, {"If-Match": '"1"'}, {"Idempotency-Key": secrets.token_hex(8)})
        ),
        *attack_key(alice, bob),
        *attack_selection(alice),
    ]
    for answer in answers:
        assert "Bob's own" not in answer.text
        assert bob.sub not in answer.text
    assert bob.read(task["id"]) == task
    assert task["id"] in {item["id"] for item in bob.client.get(TASKS).json()["items"]}
    if not locked_only:
        assert [answer.status_code for answer in answers] == [404, 200, 200] + [403] * 15 + [
            201
        ] * 2 + [200] * 14
        assert [answer.json().get("total") for answer in answers[-14:-10]] == [0, 0, 0, 0]


def attack_selection(alice: User) -> list[httpx2.Response]:
    """Search, count, change and delete what Bob's task would be selected by."""
    text = {"q": "Bob's own"}
    lists = [
        alice.client.get(TASKS, params={**text, "count": "true", **order})
        for order in ({}, {"order": "asc"}, {"completed": "false"}, {"limit": "1"})
    ]
    lists += [
        alice.client.get(TASKS, params=text),
        alice.client.get(TASKS, params={"count": "true"}),
    ]
    changes = [
        alice.client.request(method, TASKS, params=params, json=body, headers=headers)
        for method, body in (("PATCH", {"completed": True}), ("DELETE", None))
        for params in ({"completed": "false"}, {"completed": "false", **text})
        for headers in ({}, {"Idempotency-Key": secrets.token_hex(8)})
    ]
    return lists + changes


def attack_key(alice: User, bob: User) -> list[httpx2.Response]:
    """Create with a key that Bob also uses, and without one; Bob's key is unchanged."""
    headers = {"Idempotency-Key": secrets.token_hex(8)}
    bobs = bob.client.post(TASKS, json={"title": "Bob's own"}, headers=headers)
    body = {"title": "Alice's"}
    answers = [
        alice.client.post(TASKS, json=body, headers=headers),
        alice.client.post(TASKS, json=body),
    ]
    again = bob.client.post(TASKS, json={"title": "Bob's own"}, headers=headers)
    assert (again.status_code, again.content) == (201, bobs.content)
    return answers


@pytest.fixture(params=[False, True], ids=["uncounted", "counted"])
def counted(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether writes are counted for the quota: these use other statements."""
    monkeypatch.setattr(Limit, "take_uncounted", lambda *_: not request.param)
    return bool(request.param)


@pytest.mark.proves("SC-003", "FR-010", "EDGE-1")
@pytest.mark.usefixtures("counted")
def test_users_are_separated_with_every_kind_of_login(people: tuple[User, User]) -> None:
    alice, bob = people
    attack(alice, bob, locked_only=False)
    problem(alice.client.get(f"{TASKS}/{secrets.token_hex(16)}"), 404, "task_not_found")
    mine = alice.create()
    assert alice.client.post(f"{TASKS}/{mine['id']}/toggle").json()["completed"] is True
    assert alice.client.delete(f"{TASKS}/{mine['id']}").status_code == 204


def owner_predicates(statement: Statement) -> list[tuple[int, int]]:
    """Positions of `user_id = ...`: the number of the construct, and of the predicate in it."""
    found = []
    for number, construct in enumerate(statement.constructs):
        predicates = [
            part for part in visitors.iterate(traversable(construct)) if names_the_owner(part)
        ]
        found += [(number, index) for index in range(len(predicates))]
    return found


def traversable(construct: Any) -> Any:
    """The construct, with a more precise type."""
    return construct


def names_the_owner(part: Any) -> bool:
    return (
        isinstance(part, BinaryExpression)
        and isinstance(part.right, BindParameter)
        and part.right.key == "user_id"
    )


def without_predicate(statement: Statement, number: int, index: int) -> Statement:
    """The same statement without one of its owner predicates."""
    targets = [
        part
        for part in visitors.iterate(traversable(statement.constructs[number]))
        if names_the_owner(part)
    ]

    def replace(part: Any, **_: Any) -> Any:
        return true() if part is targets[index] else None

    constructs = list(statement.constructs)
    construct: Any = traversable(constructs[number])
    constructs[number] = visitors.replacement_traverse(construct, {}, replace)  # type: ignore[call-overload] # any construct
    mutant = Statement(tuple(constructs), statement.idempotent)
    assert mutant.sql != statement.sql
    return mutant


MUTANTS = [
    pytest.param(name, number, index, id=f"{name}-{number}-{index}")
    for name, statement in STATEMENTS.items()
    for number, index in owner_predicates(statement)
]


def test_every_statement_names_its_owner() -> None:
    """Except the creation without a key, which reads nothing."""
    assert {name for name in STATEMENTS if not owner_predicates(STATEMENTS[name])} == {"CREATE"}
    assert len(MUTANTS) >= 25


@pytest.mark.proves("SC-003")
@pytest.mark.parametrize(("name", "number", "index"), MUTANTS)
def test_without_an_owner_predicate_no_foreign_row_is_read_or_changed(
    people: tuple[User, User], monkeypatch: pytest.MonkeyPatch, name: str, number: int, index: int
) -> None:
    plant(monkeypatch, STATEMENTS[name], without_predicate(STATEMENTS[name], number, index))
    counted = name.lower().endswith("counted") and not name.endswith("uncounted")
    counted = counted or name == "TASKS_LEFT"
    monkeypatch.setattr(Limit, "take_uncounted", lambda *_: not counted)
    attack(*people, locked_only=True)


@pytest.mark.usefixtures("counted")
def test_without_any_owner_predicate_users_are_still_separated(
    people: tuple[User, User], monkeypatch: pytest.MonkeyPatch
) -> None:
    for statement in STATEMENTS.values():
        mutant = statement
        while places := owner_predicates(mutant):
            mutant = without_predicate(mutant, *places[0])
        plant(monkeypatch, statement, mutant)
    attack(*people, locked_only=True)


@pytest.mark.proves("SC-003", "FR-012")
def test_a_login_that_bypasses_the_policies_is_refused(
    cluster: Cluster, settings: Settings, signer: Signer
) -> None:
    name, url = cluster.database(cluster.login(NEON_OWNER))
    migrations.upgrade(url)
    stranger = cluster.url_of(name, cluster.login("BYPASSRLS"))
    headers = {"Authorization": f"Bearer {signer.token('x')}"}
    app = create_app(settings.model_copy(update={"database_url": stranger}))
    with served(app) as base, httpx2.Client(base_url=base, headers=headers) as client:
        problem(client.get(TASKS), 503, "database_unavailable")
        problem(client.get("/readyz"), 503, "database_unavailable")


def test_the_ownership_check_returns_only_yes_or_no(
    cluster: Cluster, people: tuple[User, User], deployment: str
) -> None:
    """No other role can use the function's right to read all rows."""
    _, bob = people
    task = bob.create()
    database = deployment.split("dbname=")[1].split(maxsplit=1)[0]
    with cluster.cursor(database) as cursor:
        cursor.execute(
            "SELECT set_config('role', 'tasks_app', false), set_config('app.user_id', 'x', false),"
            " set_config('tasks_backend.owner_check', 'on', false)"
        )
        cursor.execute("SELECT count(*) FROM tasks_backend.tasks")
        assert cursor.fetchone() == (0,)
        cursor.execute("SELECT tasks_backend.task_is_foreign(%s)", (task["id"],))
        assert cursor.fetchone() == (True,)
