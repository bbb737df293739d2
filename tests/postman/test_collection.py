"""The published collection, run by Newman: every answer of every operation (SC-008)."""

import json
from pathlib import Path

import pytest

from postman.calls import CONDITIONS, UNREACHABLE
from postman.conftest import HEALTHY, Newman, Runs, documented
from postman.files import COLLECTION
from postman.trouble import TROUBLES
from tasks_backend.errors import ApiError

LIVENESS = ("--folder", "GET /livez: Is the process alive?")


@pytest.mark.proves("SC-008", "FR-011")
@pytest.mark.parametrize("condition", [HEALTHY, *CONDITIONS])
def test_every_assertion_holds(runs: Runs, condition: str) -> None:
    run = runs[condition]
    assert run.failed == [], run.output
    assert run.exit_code == 0, run.output
    assert run.asserted == run.answered != set(), run.output


@pytest.mark.proves("SC-008")
def test_every_documented_answer_was_requested_and_asserted(runs: Runs) -> None:
    asserted = set().union(*(run.asserted for run in runs.values()))
    assert documented() - asserted == UNREACHABLE.keys()


@pytest.mark.proves("SC-008", "FR-011")
def test_every_problem_code_was_returned(runs: Runs) -> None:
    seen = {code for run in runs.values() for _, _, code in run.asserted}
    assert seen - {""} == _codes(ApiError)


def test_each_condition_is_created() -> None:
    assert TROUBLES.keys() == CONDITIONS.keys()


def test_a_wrong_expectation_fails(run_newman: Newman, dev: dict[str, str], tmp_path: Path) -> None:
    """Expectations of the status, the code, the body's schema and the standard headers."""
    text = COLLECTION.read_text()
    assert run_newman(COLLECTION, dev, *LIVENESS).exit_code == 0
    for good, bad in (
        ("have.status(200)", "have.status(201)"),
        ("payload_too_large", "payload_too_huge"),
        ('"alive', '"dead'),
        ("nosniff", "nosnuff"),
    ):
        assert good in text
        spoilt = tmp_path / "collection.json"
        spoilt.write_text(text.replace(good, bad))
        run = run_newman(spoilt, dev, *LIVENESS)
        assert run.exit_code == 1
        assert run.failed


def test_a_missing_request_is_noticed(
    run_newman: Newman, dev: dict[str, str], tmp_path: Path
) -> None:
    content = json.loads(COLLECTION.read_text())
    folder = content["item"][0]
    assert LIVENESS[1] == folder["name"]
    folder["item"] = [item for item in folder["item"] if "413" not in item["name"]]
    less = tmp_path / "collection.json"
    less.write_text(json.dumps(content))
    run = run_newman(less, dev, *LIVENESS)
    assert run.exit_code == 0
    missing = {cell for cell in documented() if cell[0] == "livez"} - run.asserted
    assert missing - UNREACHABLE.keys() == {("livez", 413, "payload_too_large")}


def test_only_a_token_is_needed(run_newman: Newman, dev: dict[str, str]) -> None:
    """With only the token that `dev` printed, nothing fails; fewer requests are sent."""
    run = run_newman(COLLECTION, {name: dev[name] for name in ("baseUrl", "token")})
    assert (run.exit_code, run.failed) == (0, []), run.output
    assert {status for _, status, _ in run.asserted} >= {200, 201, 204, 400, 401, 404, 412, 422}


def test_without_a_token_the_run_says_what_to_do(run_newman: Newman, dev: dict[str, str]) -> None:
    run = run_newman(COLLECTION, {"baseUrl": dev["baseUrl"]}, *LIVENESS)
    assert run.exit_code == 1
    assert "choose the environment and set its token" in " ".join(run.output.split())


def _codes(kind: type[ApiError]) -> set[str]:
    own = {kind.code} if hasattr(kind, "code") else set()
    return own.union(*(_codes(child) for child in kind.__subclasses__()))
