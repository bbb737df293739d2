"""The checker passes a correct history and finds each injected violation."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from faults.check import VIOLATIONS, check
from faults.record import Attempt, History, Operation, Outcome, Row, Selection, Task

DEADLINE = 5.0
START = datetime(2026, 1, 1, tzinfo=UTC)
DOWN = "database_unavailable"


class Story:
    """A history, built step by step: each operation starts one second after the previous one."""

    def __init__(self) -> None:
        self.history = History()
        self.now = 0.0

    def task(self, title: str, version: int, *, completed: bool = False, **changed: str) -> Task:
        times = (START, START + timedelta(seconds=version))
        known = {"id": "one", "user_id": "alice", "description": "c1", **changed}
        return Task(known["id"], known["user_id"], title, known["description"], completed, *times)

    def does(
        self, kind: str, *, task: str | None = "one", key: str | None = None, **change: object
    ) -> Operation:
        number = len(self.history.operations) + 1
        operation = Operation(number, "alice", "direct", kind, task, key, dict(change))
        self.history.operations.append(operation)
        return operation

    def told(
        self,
        operation: Operation,
        status: int,
        *tasks: Task,
        version: int | None = None,
        **more: object,
    ) -> Attempt:
        self.now += 1.0
        attempt = Attempt(self.now, self.now + 0.1, status, version=version, tasks=tasks)
        for name, value in more.items():
            setattr(attempt, name, value)
        attempt.retry_after = status == 503
        operation.attempts.append(attempt)
        return attempt

    def does_to_all(self, kind: str, *, completed: bool, key: str | None = None) -> Operation:
        operation = self.does(kind, task=None, key=key)
        operation.selection = Selection(completed, "t")
        if kind == "patch_all":
            operation.change = {"completed": not completed}
        return operation

    def ends(self, task: Task, version: int) -> None:
        self.history.rows = [Row(task, version)]


def story() -> Story:
    """o1 creates, o2 patches, o3 toggles with an unknown outcome (done), o4 reads, o5 patches."""
    told = Story()
    create = told.does("create", task=None, key="k1", title="t1", description="c1", completed=False)
    told.told(create, 503, code=DOWN)
    told.told(create, 201, told.task("t1", 1), version=1)
    told.told(told.does("patch", title="t2"), 200, told.task("t2", 2), version=2)
    told.told(told.does("toggle"), 503, code=DOWN)
    told.told(told.does("get"), 200, told.task("t2", 3, completed=True), version=3)
    last = told.task("t5", 4, completed=True)
    told.told(told.does("patch", title="t5"), 200, last, version=4)
    told.told(told.does("list", task=None), 200, last)
    told.ends(last, 4)
    return told


def test_a_correct_history_passes() -> None:
    verdict = check(story().history, DEADLINE)
    assert verdict.holds, verdict.findings
    assert verdict.writes == {Outcome.ACKNOWLEDGED: 3, Outcome.IN_DOUBT: 1}
    assert verdict.happened == 1


def story_of_many() -> Story:
    """Two tasks: all completed (counted), reopened (in doubt, done), and deleted but for one."""
    told = Story()
    for number, name in ((1, "one"), (2, "two")):
        made = told.task(f"t{number}", 1, id=name, description=f"c{number}")
        create = told.does("create", task=None, title=f"t{number}", description=f"c{number}")
        create.change["completed"] = False
        told.told(create, 201, made, version=1)
    all_done = told.does_to_all("patch_all", completed=False, key="k")
    told.told(all_done, 503, code=DOWN)
    told.told(all_done, 200, count=2)
    told.told(all_done, 200, count=2, replayed=True)
    both_read(told, 2, completed=True)
    told.told(told.does_to_all("patch_all", completed=True), 503, code=DOWN)
    both_read(told, 3, completed=False)
    last = told.task("t2", 4, id="two", description="c2", completed=True)
    told.told(told.does("toggle", task="two"), 200, last, version=4)
    told.told(told.does_to_all("delete_all", completed=False), 200, count=1)
    told.told(told.does("get"), 404, code="task_not_found")
    told.told(told.does("list", task=None), 200, last)
    told.ends(last, 4)
    return told


def both_read(told: Story, version: int, *, completed: bool) -> None:
    for number, name in ((1, "one"), (2, "two")):
        task = told.task(
            f"t{number}", version, id=name, description=f"c{number}", completed=completed
        )
        told.told(told.does("get", task=name), 200, task, version=version)


def test_a_correct_history_of_many_tasks_passes() -> None:
    verdict = check(story_of_many().history, DEADLINE)
    assert verdict.holds, verdict.findings
    assert verdict.writes == {Outcome.ACKNOWLEDGED: 5, Outcome.IN_DOUBT: 1}
    assert verdict.happened == 1


def only(told: Story, kind: str, number: int = 0) -> Operation:
    return [each for each in told.history.operations if each.kind == kind][number]


def the_count_is_too_high(told: Story) -> None:
    for attempt in only(told, "patch_all").attempts[1:]:
        attempt.count = 3


def the_count_is_too_low(told: Story) -> None:
    only(told, "delete_all").attempts[0].count = 0


def a_replay_has_another_count(told: Story) -> None:
    only(told, "patch_all").attempts[2].count = 0


def ends_after(told: Story, kind: str, number: int, one: Row, two: Row) -> None:
    """Nothing follows this change of many tasks but a read of both."""
    operations = told.history.operations
    del operations[operations.index(only(told, kind, number)) + 1 :]
    told.history.rows = [one, two]
    for row in told.history.rows:
        read = told.does("get", task=row.task.id)
        told.told(read, 200, row.task, version=row.version)


def a_change_of_many_leaves_one_out(told: Story) -> None:
    unchanged = told.task("t2", 2, id="two", description="c2", completed=True)
    ends_after(told, "patch_all", 1, Row(told.task("t1", 3), 3), Row(unchanged, 2))


def a_deletion_of_many_leaves_one_out(told: Story) -> None:
    only(told, "delete_all").attempts[0].count = 0
    ends_after(told, "delete_all", 0, Row(told.task("t1", 3), 3), told.history.rows[0])


def a_refused_deletion_of_many_is_done(told: Story) -> None:
    only(told, "delete_all").attempts = []
    told.told(only(told, "delete_all"), 503, code="overloaded")


def a_change_of_many_reaches_what_it_did_not_select(told: Story) -> None:
    only(told, "patch_all", 1).selection = Selection(completed=True, q="bread")


def the_last_write_is_gone(told: Story) -> None:
    told.ends(told.task("t2", 3, completed=True), 3)


def the_row_is_gone(told: Story) -> None:
    told.history.rows = []


def a_write_is_overwritten(told: Story) -> None:
    told.told(told.does("patch", title="t7"), 200, told.task("t7", 4), version=4)


def a_deleted_task_is_back(told: Story) -> None:
    told.told(told.does("delete"), 204)


def an_old_version_is_shown(told: Story) -> None:
    told.told(told.does("get"), 200, told.task("t2", 2), version=2)


def a_task_is_not_found(told: Story) -> None:
    told.told(told.does("get"), 404, code="task_not_found")


def a_list_omits_it(told: Story) -> None:
    told.told(told.does("list", task=None), 200)


def a_key_makes_two_tasks(told: Story) -> None:
    told.history.rows.append(Row(told.task("t1", 1, id="two"), 1))


def a_replay_is_answered_differently(told: Story) -> None:
    told.told(told.history.operations[0], 201, told.task("t2", 2), version=2, replayed=True)


def a_toggle_of_unknown_outcome_is_done_twice(told: Story) -> None:
    told.ends(told.task("t5", 5), 5)


def a_refused_write_is_done(told: Story) -> None:
    told.history.operations[2].attempts[0].code = "overloaded"


def a_refused_create_is_there(told: Story) -> None:
    refused = told.does("create", task=None, title="t7", description="c7", completed=False)
    told.told(refused, 503, code="overloaded")
    told.history.rows.append(Row(told.task("t7", 1, id="two", description="c7"), 1))


def no_request_created_it(told: Story) -> None:
    told.history.rows.append(Row(told.task("t99", 1, id="two", description="c99"), 1))


def the_write_of_unknown_outcome_came_later(told: Story) -> None:
    attempt = told.history.operations[2].attempts[0]
    attempt.sent_at = attempt.answered_at = told.now + 1


def a_field_changes_by_itself(told: Story) -> None:
    told.ends(told.task("t5", 4, completed=True, description="c1 d9"), 4)


def a_condition_was_ignored(told: Story) -> None:
    told.history.operations[4].if_match = 2


def another_users_row_is_shown(told: Story) -> None:
    told.told(told.does("get"), 200, told.task("t5", 4, user_id="bob"), version=4)


def another_users_task_is_deleted(told: Story) -> None:
    operation = told.does("delete", task="bobs")
    operation.foreign = True
    told.told(operation, 204)


def an_answer_is_a_500(told: Story) -> None:
    told.told(told.does("get"), 500, code="internal_error")


def a_status_is_not_in_the_contract(told: Story) -> None:
    told.told(told.does("get"), 401, code="invalid_token")


def a_503_has_no_retry_after(told: Story) -> None:
    told.told(told.does("get"), 503, code=DOWN).retry_after = False


def an_answer_is_late(told: Story) -> None:
    told.told(told.does("get"), 504, code="deadline_exceeded").answered_at += DEADLINE + 0.6


def a_connection_is_cut_late(told: Story) -> None:
    told.told(told.does("get"), 0, error="lost").answered_at += DEADLINE + 0.6


Planted = list[tuple[str, Callable[[Story], None]]]
OF_MANY: Planted = [
    ("partial", the_count_is_too_high),
    ("partial", the_count_is_too_low),
    ("partial", a_change_of_many_leaves_one_out),
    ("partial", a_deletion_of_many_leaves_one_out),
    ("duplicated", a_replay_has_another_count),
    ("lost", a_refused_deletion_of_many_is_done),
    ("unexplained", a_change_of_many_reaches_what_it_did_not_select),
]
PLANTED: Planted = [
    *(("lost", defect) for defect in (
        the_last_write_is_gone, the_row_is_gone, a_write_is_overwritten, a_deleted_task_is_back,
        an_old_version_is_shown, a_task_is_not_found, a_list_omits_it,
    )),
    ("duplicated", a_key_makes_two_tasks),
    ("duplicated", a_replay_is_answered_differently),
    *(("unexplained", defect) for defect in (
        a_toggle_of_unknown_outcome_is_done_twice, a_refused_write_is_done, a_refused_create_is_there,
        no_request_created_it, the_write_of_unknown_outcome_came_later, a_field_changes_by_itself,
        a_condition_was_ignored,
    )),
    ("foreign", another_users_row_is_shown),
    ("foreign", another_users_task_is_deleted),
    ("status 500", an_answer_is_a_500),
    ("contract", a_status_is_not_in_the_contract),
    ("no Retry-After", a_503_has_no_retry_after),
    ("late", an_answer_is_late),
    ("late", a_connection_is_cut_late),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "plant"), PLANTED + OF_MANY, ids=lambda value: getattr(value, "__name__", value)
)
def test_an_injected_violation_is_found(kind: str, plant: Callable[[Story], None]) -> None:
    told = story_of_many() if (kind, plant) in OF_MANY else story()
    plant(told)
    assert check(told.history, DEADLINE).counts[kind] >= 1


def test_each_kind_of_violation_is_injected() -> None:
    assert {kind for kind, _ in PLANTED + OF_MANY} == set(VIOLATIONS)


def test_the_load_generators_lag_is_not_a_violation() -> None:
    told = story()
    an_answer_is_late(told)
    late = told.history.operations[-1].attempts[0]
    told.history.lags.append((late.sent_at + 1, 2.0))
    assert check(told.history, DEADLINE).holds
