"""The API as plain dicts: the answer to each request by docs/api.md.

Ids and times, which only the service can choose, the model takes from the answer after a check.
It shares only the failure classes with the service.
"""

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tasks_backend.errors import (
    ApiError,
    IdempotencyKeyReused,
    InvalidCursor,
    TaskForbidden,
    TaskNotFound,
    UnsupportedMediaType,
    ValidationFailed,
    VersionMismatch,
)

Json = dict[str, Any]


@dataclass(frozen=True)
class Refusal:
    """The failure of a request, with its `errors` as (location, field, code)."""

    kind: type[ApiError]
    errors: tuple[tuple[str, str, str], ...] = ()


class Refused(Exception):
    """The answer is a failure."""

    def __init__(self, kind: type[ApiError], *errors: tuple[str, str, str]) -> None:
        super().__init__(kind.code)
        self.refusal = Refusal(kind, errors)


MALFORMED_KEY = "two words"


@dataclass(frozen=True)
class Cursor:
    """A `next_cursor`, with its query and the last task before it."""

    text: str
    last: str
    order: str
    completed: str | None
    search: str | None = None


@dataclass(frozen=True)
class Condition:
    """An `If-Match`, written for the task's current version."""

    spelling: str | None = None
    met: bool = True
    valid: bool = True

    def check(self) -> None:
        if not self.valid:
            raise Refused(ValidationFailed, ("header", "If-Match", "entity_tag"))
        if not self.met:
            raise Refused(VersionMismatch)


@dataclass
class Task:
    """One task: its JSON and its version."""

    shown: Json
    version: int = 1


@dataclass(frozen=True)
class Written:
    """The answer to a write, or to a read of one task."""

    shown: Json
    version: int
    replayed: bool = False


@dataclass(frozen=True)
class Counted:
    """The answer to a bulk change."""

    count: int
    replayed: bool = False


@dataclass
class Model:
    """All users' tasks by id, in creation order, and the first use of each key."""

    tasks: dict[str, Task] = field(default_factory=dict)
    keys: dict[tuple[str, str], tuple[object, Written | Counted]] = field(default_factory=dict)
    gone: list[str] = field(default_factory=list)

    def ids(self, *, owner: str, own: bool) -> list[str]:
        return [key for key, task in self.tasks.items() if (task.shown["user_id"] == owner) is own]

    def read(self, user: str, task_id: str) -> Written:
        task = self._existing(task_id)
        if task.shown["user_id"] != user:
            raise Refused(TaskNotFound)
        return Written(task.shown, task.version)

    def listed(
        self, user: str, *, order: str, completed: str | None, text: str | None = None
    ) -> list[Json]:
        """A user's tasks that match a filter, in order."""
        wanted = {"true": (True,), "false": (False,), None: (True, False)}[completed]
        shown = [self.tasks[task_id].shown for task_id in self.ids(owner=user, own=True)]
        shown = [task for task in shown if task["completed"] in wanted]
        if text is not None:
            shown = [
                t for t in shown if _contains(t["title"], text) or _contains(t["description"], text)
            ]
        return sorted(shown, key=lambda task: task["id"], reverse=order == "desc")

    def page(
        self,
        user: str,
        *,
        limit: int,
        order: str,
        completed: str | None,
        text: str | None,
        after: Cursor | None,
    ) -> tuple[list[Json], bool]:
        """A page, and whether another one follows."""
        rest = self.listed(user, order=order, completed=completed, text=text)
        if after is not None:
            if (after.order, after.completed, after.search) != (order, completed, text):
                raise Refused(InvalidCursor)
            descending = order == "desc"
            rest = [
                t for t in rest if t["id"] != after.last and (t["id"] < after.last) is descending
            ]
        return rest[:limit], len(rest) > limit

    def create(
        self, user: str, fields: Json | Refusal, key: str | None, made: Callable[[], Json]
    ) -> Written:
        """A creation. `made` returns the service's id and times, checked, if a task is created."""
        fields = _good(fields)
        default = {"description": None, "completed": False}
        fields = {**default, **fields, "title": fields["title"].strip()}
        if key == MALFORMED_KEY:
            raise Refused(ValidationFailed, ("header", "Idempotency-Key", "visible_ascii"))
        if earlier := self._earlier(user, key, fingerprint := ("create", fields)):
            return earlier
        chosen = made()
        task = Task({"user_id": user, **fields, **chosen})
        self.tasks[chosen["id"]] = task
        return self._remember(user, key, fingerprint, task)

    def change(
        self,
        user: str,
        task_id: str,
        fields: Json | Refusal,
        condition: Condition,
        updated_at: Callable[[], str],
    ) -> Written:
        """A PATCH or a PUT."""
        if isinstance(fields, Refusal) and fields.kind is UnsupportedMediaType:
            raise Refused(UnsupportedMediaType)
        task = self._own(user, task_id)
        fields = _good(fields)
        condition.check()
        if "title" in fields:
            fields = {**fields, "title": fields["title"].strip()}
        if fields:
            _change(task, {**fields, "updated_at": updated_at()})
        return Written(task.shown, task.version)

    def toggle(
        self,
        user: str,
        task_id: str,
        condition: Condition,
        key: str | None,
        updated_at: Callable[[], str],
    ) -> Written:
        """A toggle: a replay needs the task, but not its earlier version."""
        task = self._own(user, task_id)
        remembered = (user, str(key)) in self.keys
        fingerprint = ("toggle", task_id)
        if not condition.valid or not (remembered and self.keys[user, str(key)][0] == fingerprint):
            condition.check()
        if key == MALFORMED_KEY:
            raise Refused(ValidationFailed, ("header", "Idempotency-Key", "visible_ascii"))
        if earlier := self._earlier(user, key, fingerprint):
            return earlier
        _change(task, {"completed": not task.shown["completed"], "updated_at": updated_at()})
        return self._remember(user, key, fingerprint, task)

    def delete(self, user: str, task_id: str, condition: Condition) -> None:
        self._own(user, task_id)
        condition.check()
        del self.tasks[task_id]
        self.gone.append(task_id)

    def change_all(
        self,
        user: str,
        new: bool | None,
        completed: str,
        text: str | None,
        key: str | None,
        updated_at: Callable[[str], str],
    ) -> Counted:
        """A bulk change: to `new`, or a deletion. `updated_at` returns a task's time, checked."""
        if key == MALFORMED_KEY:
            raise Refused(ValidationFailed, ("header", "Idempotency-Key", "visible_ascii"))
        fingerprint = ("all", new, completed, text)
        if key is not None and (user, key) in self.keys:
            first, answer = self.keys[user, key]
            if first != fingerprint:
                raise Refused(IdempotencyKeyReused)
            assert isinstance(answer, Counted)
            return Counted(answer.count, replayed=True)
        selected = self.listed(user, order="desc", completed=completed, text=text)
        selected = [task for task in selected if task["completed"] is not new]
        for task in selected:
            if new is None:
                del self.tasks[task["id"]]
                self.gone.append(task["id"])
            else:
                change = {"completed": new, "updated_at": updated_at(task["id"])}
                _change(self.tasks[task["id"]], change)
        if key is not None:
            self.keys[user, key] = fingerprint, Counted(len(selected))
        return Counted(len(selected))

    def _existing(self, task_id: str) -> Task:
        try:
            uuid.UUID(task_id)
        except ValueError:
            raise Refused(ValidationFailed, ("path", "task_id", "uuid_parsing")) from None
        if task_id not in self.tasks:
            raise Refused(TaskNotFound)
        return self.tasks[task_id]

    def _own(self, user: str, task_id: str) -> Task:
        task = self._existing(task_id)
        if task.shown["user_id"] != user:
            raise Refused(TaskForbidden)
        return task

    def _earlier(self, user: str, key: str | None, fingerprint: object) -> Written | None:
        if key is None or (user, key) not in self.keys:
            return None
        first, answer = self.keys[user, key]
        if first != fingerprint:
            raise Refused(IdempotencyKeyReused)
        assert isinstance(answer, Written)
        return Written(answer.shown, answer.version, replayed=True)

    def _remember(self, user: str, key: str | None, fingerprint: object, task: Task) -> Written:
        answer = Written(task.shown, task.version)
        if key is not None:
            self.keys[user, key] = fingerprint, answer
        return answer


def _good(fields: Json | Refusal) -> Json:
    if isinstance(fields, Refusal):
        raise Refused(fields.kind, *fields.errors)
    return fields


def _contains(value: str | None, text: str) -> bool:
    return value is not None and text.lower() in value.lower()


def _change(task: Task, fields: Json) -> None:
    task.shown = {**task.shown, **fields}
    task.version += 1
