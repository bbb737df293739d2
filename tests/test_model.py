"""Random requests of several users, and a model in plain dicts that predicts every answer.

`MODEL_EXAMPLES=2000 nox -s tests -- tests/test_model.py --timeout=0` runs for longer.
"""

import copy
import json
import os
import re
import secrets
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from typing import ClassVar
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx2
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)
from support import requests
from support.model import Condition, Cursor, Json, Model, Refused, Written
from support.statements import STATEMENTS, plant

from tasks_backend import Settings, create_app
from tasks_backend.db import migrations
from tasks_backend.db.statements import Statement
from tasks_backend.testing.databases import NEON_OWNER, Cluster
from tasks_backend.testing.service import problem, served
from tasks_backend.testing.signing import Signer

TASKS = "/api/v1/tasks"
PEOPLE = 3
RUN = settings(
    max_examples=int(os.environ.get("MODEL_EXAMPLES", "20")),
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")

users = st.integers(0, PEOPLE - 1)
orders = st.sampled_from(["desc", "asc"])
filters = st.sampled_from([None, "true", "false"])
texts: st.SearchStrategy[str | None] = st.sampled_from(
    [None, None, "MILK", "a", "%", "_", "\\", "no such text"]
)
Query = tuple[str, str | None, str | None]
queries = st.tuples(orders, filters, texts)


class Service(RuleBasedStateMachine):
    """Sends the same requests to the service and to the model. Each run has new users."""

    client: ClassVar[httpx2.Client]
    signer: ClassVar[Signer]
    cursors: Bundle[Cursor] = Bundle("cursors")

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.subs = [secrets.token_hex(16) for _ in range(PEOPLE)]
        self.tokens = [self.signer.token(sub) for sub in self.subs]
        self.with_keys: list[Callable[[], None]] = []

    @initialize(bodies=st.tuples(*[requests.good] * PEOPLE * 2))
    def begin(self, bodies: tuple[requests.Body, ...]) -> None:
        for number, body in enumerate(bodies):
            self._create(number % PEOPLE, body, None)

    @rule(user=users, body=requests.new, key=requests.keys)
    def create(self, user: int, body: requests.Body, key: str | None) -> None:
        self._create(user, body, key)
        if key is not None:
            self.with_keys.append(partial(self._create, user, body, key))

    @rule(user=users, which=requests.targets, match=requests.conditions, key=requests.keys)
    def toggle(self, user: int, which: tuple[str, int], match: str, key: str | None) -> None:
        task_id = self._task_id(user, *which)
        self._toggle(user, task_id, match, key)
        if key is not None:
            self.with_keys.append(partial(self._toggle, user, task_id, match, key))

    @precondition(lambda self: self.with_keys)
    @rule(number=st.integers(0, 9))
    def repeat(self, number: int) -> None:
        self.with_keys[number % len(self.with_keys)]()

    @rule(user=users, which=requests.targets)
    def read(self, user: int, which: tuple[str, int]) -> None:
        task_id = self._task_id(user, *which)
        answer = self._ask("GET", f"{TASKS}/{task_id}", user)
        self._compare(answer, 200, lambda: self.model.read(self.subs[user], task_id))

    @rule(user=users, which=requests.targets, body=requests.patches, match=requests.conditions)
    def patch(self, user: int, which: tuple[str, int], body: requests.Body, match: str) -> None:
        self._change("PATCH", user, which, body, match)

    @rule(user=users, which=requests.targets, body=requests.wholes, match=requests.conditions)
    def put(self, user: int, which: tuple[str, int], body: requests.Body, match: str) -> None:
        self._change("PUT", user, which, body, match)

    @rule(user=users, which=requests.targets, match=requests.conditions)
    def delete(self, user: int, which: tuple[str, int], match: str) -> None:
        task_id = self._task_id(user, *which)
        condition = self._condition(task_id, match)
        answer = self._ask("DELETE", f"{TASKS}/{task_id}", user, match=condition.spelling)
        try:
            self.model.delete(self.subs[user], task_id, condition)
        except Refused as refused:
            _compare_refusal(answer, refused)
        else:
            assert (answer.status_code, answer.content) == (204, b"")

    @rule(
        user=users,
        query=queries,
        after=st.none() | cursors,
        same_query=st.booleans(),
    )
    def some_page(self, user: int, query: Query, after: Cursor | None, same_query: bool) -> None:
        """With any user's cursor of any time: a cursor is a position, not a permission."""
        if after and same_query:
            query = after.order, after.completed, after.search
        self._page(user, 3, query, after)

    @rule(target=cursors, user=users, query=queries, limit=st.integers(1, 3))
    def every_page(self, user: int, query: Query, limit: int) -> MultipleResults[Cursor]:
        """Each page equals the model's, so together they are its list."""
        met = []
        cursor = self._page(user, limit, query, None)
        while cursor:
            met.append(cursor)
            cursor = self._page(user, limit, query, cursor)
        return multiple(*met)

    @rule(
        user=users,
        new=st.sampled_from([True, False, None]),
        completed=st.sampled_from(["true", "false"]),
        text=texts,
        key=requests.keys,
    )
    def change_all(
        self, user: int, new: bool | None, completed: str, text: str | None, key: str | None
    ) -> None:
        self._change_all(user, new, completed, text, key)
        if key is not None:
            self.with_keys.append(partial(self._change_all, user, new, completed, text, key))

    @invariant()
    def users_see_only_their_own_tasks(self) -> None:
        for user in range(PEOPLE):
            self._page(user, 100, ("desc", None, None), None)

    def _ask(
        self,
        method: str,
        path: str,
        user: int,
        body: requests.Body | None = None,
        *,
        match: str | None = None,
        key: str | None = None,
    ) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {self.tokens[user]}"}
        if body is not None:
            headers["Content-Type"] = body.media_type
        if match is not None:
            headers["If-Match"] = match
        if key is not None:
            headers["Idempotency-Key"] = key
        content = None if body is None else body.content
        return self.client.request(method, path, content=content, headers=headers)

    def _create(self, user: int, body: requests.Body, key: str | None) -> None:
        answer = self._ask("POST", TASKS, user, body, key=key)
        self._compare(
            answer,
            201,
            lambda: self.model.create(
                self.subs[user], body.fields, key, lambda: self._chosen(answer)
            ),
        )

    def _toggle(self, user: int, task_id: str, match: str, key: str | None) -> None:
        condition = self._condition(task_id, match)
        path = f"{TASKS}/{task_id}/toggle"
        answer = self._ask("POST", path, user, match=condition.spelling, key=key)
        self._compare(
            answer,
            200,
            lambda: self.model.toggle(
                self.subs[user], task_id, condition, key, lambda: self._later(answer)
            ),
        )

    def _change(
        self, method: str, user: int, which: tuple[str, int], body: requests.Body, match: str
    ) -> None:
        task_id = self._task_id(user, *which)
        condition = self._condition(task_id, match)
        answer = self._ask(method, f"{TASKS}/{task_id}", user, body, match=condition.spelling)
        self._compare(
            answer,
            200,
            lambda: self.model.change(
                self.subs[user], task_id, body.fields, condition, lambda: self._later(answer)
            ),
        )

    def _change_all(
        self, user: int, new: bool | None, completed: str, text: str | None, key: str | None
    ) -> None:
        query = urlencode({"completed": completed} | ({"q": text} if text else {}))
        body = requests.Body(json.dumps({"completed": new}).encode(), {})
        method, verb, sent = (
            ("PATCH", "updated", body) if new is not None else ("DELETE", "deleted", None)
        )
        answer = self._ask(method, f"{TASKS}?{query}", user, sent, key=key)

        def updated_at(task_id: str) -> str:
            return self._later(self._ask("GET", f"{TASKS}/{task_id}", user))

        try:
            expected = self.model.change_all(self.subs[user], new, completed, text, key, updated_at)
        except Refused as refused:
            _compare_refusal(answer, refused)
            return
        assert (answer.status_code, answer.json()) == (200, {verb: expected.count})
        replayed = "true" if expected.replayed else None
        assert answer.headers.get("idempotency-replayed") == replayed

    def _page(self, user: int, limit: int, query_: Query, after: Cursor | None) -> Cursor | None:
        order, completed, text = query_
        count = len(order + str(completed)) % 2 == 0  # some queries ask for the total
        query = {"limit": str(limit), "order": order} | ({"count": "true"} if count else {})
        if completed is not None:
            query["completed"] = completed
        if text is not None:
            query["q"] = text
        sent = query | ({"cursor": after.text} if after else {})
        headers = {"Authorization": f"Bearer {self.tokens[user]}"}
        answer = self.client.get(TASKS, params=sent, headers=headers)
        try:
            items, more = self.model.page(
                self.subs[user],
                limit=limit,
                order=order,
                completed=completed,
                text=text,
                after=after,
            )
        except Refused as refused:
            _compare_refusal(answer, refused)
            return None
        assert answer.status_code == 200, answer.text
        cursor = answer.json()["next_cursor"]
        listed = self.model.listed(self.subs[user], order=order, completed=completed, text=text)
        total = len(listed) if count else None
        assert answer.json() == {"items": items, "next_cursor": cursor, "total": total}
        if not more:
            assert (cursor, answer.headers.get("link")) == (None, None)
            return None
        link = urlsplit(answer.links["next"]["url"])
        assert (link.netloc, link.path) == ("", TASKS)
        assert {k: v for k, (v,) in parse_qs(link.query).items()} == {**query, "cursor": cursor}
        return Cursor(cursor, items[-1]["id"], order, completed, text)

    def _task_id(self, user: int, kind: str, number: int) -> str:
        known = {
            "own": self.model.ids(owner=self.subs[user], own=True),
            "foreign": self.model.ids(owner=self.subs[user], own=False),
            "gone": self.model.gone,
            "malformed": ["not-a-uuid"],
        }.get(kind)
        return known[number % len(known)] if known else str(uuid.UUID(int=number))

    def _condition(self, task_id: str, match: str) -> Condition:
        task = self.model.tasks.get(task_id)
        return requests.condition(match, task.version if task else 1)

    def _compare(
        self, answer: httpx2.Response, status: int, expected: Callable[[], Written]
    ) -> None:
        try:
            task = expected()
        except Refused as refused:
            _compare_refusal(answer, refused)
            return
        assert answer.status_code == status, answer.text
        assert answer.json() == task.shown
        assert answer.headers["etag"] == f'"{task.version}"'
        assert answer.headers.get("idempotency-replayed") == ("true" if task.replayed else None)
        location = f"{TASKS}/{task.shown['id']}" if status == 201 else None
        assert answer.headers.get("location") == location

    def _chosen(self, answer: httpx2.Response) -> Json:
        """The service's values for a new task: an id that sorts last, one time for both fields."""
        assert answer.status_code == 201, answer.text
        chosen = {name: answer.json()[name] for name in ("id", "created_at", "updated_at")}
        assert uuid.UUID(chosen["id"]).version == 7
        assert chosen["id"] > max([*self.model.tasks, *self.model.gone], default="")
        assert TIME.fullmatch(chosen["created_at"])
        assert chosen["created_at"] == chosen["updated_at"]
        return chosen

    def _later(self, answer: httpx2.Response) -> str:
        """The time at which the service changed a task: later than all earlier times."""
        assert answer.status_code == 200, answer.text
        changed = answer.json()
        before = self.model.tasks[changed["id"]].shown["updated_at"]
        assert TIME.fullmatch(changed["updated_at"])
        assert _sortable(changed["updated_at"]) > _sortable(before)
        at: str = changed["updated_at"]
        return at


def _sortable(time: str) -> str:
    """A whole second is written without a fraction."""
    return time if "." in time else time.replace("Z", ".000000Z")


def _compare_refusal(answer: httpx2.Response, refused: Refused) -> None:
    kind, errors = refused.refusal.kind, refused.refusal.errors
    assert answer.status_code == kind.status, answer.text
    body = problem(answer, kind.status, kind.code)
    assert (body["title"], body["instance"]) == (kind.title, answer.request.url.path)
    assert errors or body["detail"] == kind.summary
    found = [(entry["location"], entry["field"], entry["code"]) for entry in body["errors"]]
    assert found == list(errors)
    for name in ("etag", "location", "idempotency-replayed"):
        assert name not in answer.headers


def machine(client: httpx2.Client, signer: Signer) -> type[Service]:
    return type("Service", (Service,), {"client": client, "signer": signer})


@pytest.mark.proves("SC-001", "SC-003", "FR-010")
@pytest.mark.timeout(600)  # a failing example is shrunk before it is shown
def test_the_service_agrees_with_the_model(anonymous: httpx2.Client, signer: Signer) -> None:
    run_state_machine_as_test(machine(anonymous, signer), settings=RUN)


def _rewritten(statement: Statement, right: str, wrong: str) -> Statement:
    changed = copy.copy(statement)
    object.__setattr__(changed, "message", statement.message.replace(right, wrong))
    assert changed.message != statement.message
    return changed


@pytest.fixture(scope="module")
def unlocked(cluster: Cluster, settings: Settings) -> Iterator[str]:
    """The service without row-level security, which would hide some defects."""
    name, url = cluster.database(cluster.login(NEON_OWNER))
    migrations.upgrade(url)
    with cluster.cursor(name) as cursor:
        for table in ("users", "tasks", "idempotency_keys"):
            cursor.execute(f"ALTER TABLE tasks_backend.{table} DISABLE ROW LEVEL SECURITY")
    with served(create_app(settings.model_copy(update={"database_url": url}))) as base:
        yield base


@pytest.mark.timeout(600)  # how soon a defect is found depends on Hypothesis' release
@pytest.mark.parametrize(
    ("name", "right", "wrong"),
    [
        ("DELETE", " AND tasks_backend.tasks.user_id = %(user_id)s", ""),
        ("GET", " AND tasks_backend.tasks.user_id = %(user_id)s", ""),
        ("PAGES.desc", "tasks_backend.tasks.completed = %(completed)s", "true"),
        ("UPDATE", "%(any_version)s", "true"),
        ("UPDATE_ALL", "tasks_backend.tasks.completed = %(completed)s", "true"),
        ("PAGES.desc.text", "lower(tasks_backend.tasks.title) LIKE lower(%(pattern)s)", "true"),
    ],
)
def test_an_injected_defect_is_found(
    unlocked: str,
    signer: Signer,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    right: str,
    wrong: str,
) -> None:
    plant(monkeypatch, STATEMENTS[name], _rewritten(STATEMENTS[name], right, wrong))
    search = settings(
        RUN, max_examples=500, phases=[Phase.generate], derandomize=True, report_multiple_bugs=False
    )
    with httpx2.Client(base_url=unlocked, timeout=30) as client, pytest.raises(AssertionError):
        run_state_machine_as_test(machine(client, signer), settings=search)
