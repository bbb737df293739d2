"""The files of the Postman collection; the session `postman` runs it."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from postman.calls import UNREACHABLE, calls
from postman.contract import operations
from postman.files import COLLECTION, ENVIRONMENT, FILES, text
from support.documents import document

ROOT = Path(__file__).parents[1]
API = ROOT / "docs" / "api.md"
PACKAGE = ROOT / "tests" / "postman" / "package.json"


@pytest.mark.proves("SC-008")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_committed_file_is_current(path: Path) -> None:
    assert path.read_text() == text(path), "write it anew: PYTHONPATH=tests python -m postman"


@pytest.mark.proves("SC-008", "FR-011")
def test_every_documented_answer_has_a_request() -> None:
    for operation in operations(document()):
        requested = {(call.operation, call.status, call.code) for call in calls(operation)}
        assert requested == set(operation.cells()) - UNREACHABLE.keys()


def requests(folder: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for item in folder["item"]:
        yield from requests(item) if "item" in item else [item]


def test_every_request_has_a_unique_name_and_asserts_a_status() -> None:
    collection = json.loads(COLLECTION.read_text())
    ids = [request["id"] for request in requests(collection)]
    assert len(ids) == len(set(ids)) > 100
    for folder in collection["item"]:
        names = [request["name"] for request in requests(folder)]
        assert len(names) == len(set(names))
    for request in requests(collection):
        tests = [event for event in request["event"] if event["listen"] == "test"]
        assert "to.have.status" in json.dumps(tests)


def test_the_shown_command_is_the_tested_one() -> None:
    """The session `postman` runs it with the pinned version, these files and this variable."""
    shown = re.findall(r"^```sh\n(npx newman.*?)^```", API.read_text(), re.MULTILINE | re.DOTALL)
    (command,) = (shlex.split(text.replace("\\\n", "")) for text in shown)
    version = json.loads(PACKAGE.read_text())["dependencies"]["newman"]
    assert command == [
        "npx",
        f"newman@{version}",
        "run",
        str(COLLECTION.relative_to(ROOT)),
        "-e",
        str(ENVIRONMENT.relative_to(ROOT)),
        "--env-var",
        "token=$TOKEN",
    ]


def test_no_secret_is_in_the_files() -> None:
    """Tokens belong only in a user's own copy of the environment."""
    values = {value["key"]: value for value in json.loads(ENVIRONMENT.read_text())["values"]}
    for name in ("token", "otherToken", "expiredToken"):
        assert (values[name]["value"], values[name]["type"]) == ("", "secret")
