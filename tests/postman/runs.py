"""Newman's runs of the collection, and their results."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.node import run

from postman.calls import calls
from postman.contract import Cell, operations
from postman.files import ENVIRONMENT

ELSEWHERE = "elsewhere"


@dataclass
class Run:
    """One run: its end, its answers, and which of them were right."""

    exit_code: int
    output: str
    answered: set[Cell] = field(default_factory=set)
    asserted: set[Cell] = field(default_factory=set)
    assertions: int = 0
    failed: list[str] = field(default_factory=list)


def expectations(document: dict[str, Any]) -> dict[str, Cell]:
    """The expected answer of each request of the collection, by request id."""
    return {
        f"{operation.id}-{number}": (operation.id, call.status, call.code)
        for operation in operations(document)
        for number, call in enumerate(calls(operation), 1)
    }


def newman(
    programs: Path,
    directory: Path,
    collection: Path,
    values: Mapping[str, str],
    expected: Mapping[str, Cell],
    *arguments: str,
) -> Run:
    """Run the collection with these values in its published environment."""
    report = directory / "report.json"
    report.unlink(missing_ok=True)
    command = ["run", str(collection), "-e", str(ENVIRONMENT), *arguments]
    for name, value in values.items():
        command += ["--env-var", f"{name}={value}"]
    command += "--timeout-request 60000 --timeout-script 20000 --color off".split()
    command += ["--reporters", "cli,json", "--reporter-json-export", str(report)]
    done = run(directory, programs / "newman", *command, check=False)
    found = Run(done.returncode, done.stdout)
    if report.exists():
        for execution in _executions(json.loads(report.read_text())):
            _note(found, execution, expected)
    return found


def _executions(report: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield each request once: Newman reports it again for each request sent before it."""
    executions = {one["item"]["id"]: one for one in report["run"]["executions"]}
    yield from executions.values()


def _note(found: Run, execution: dict[str, Any], expected: Mapping[str, Cell]) -> None:
    item, response = execution["item"], execution.get("response")
    assertions = execution.get("assertions") or []
    failed = [one["assertion"] for one in assertions if one.get("error") or one["skipped"]]
    found.assertions += len(assertions)
    found.failed += [f"{item['name']}: {name}" for name in failed]
    if response is None:
        found.failed.append(f"{item['name']}: no answer")
        return
    operation = expected.get(item["id"], (ELSEWHERE, 0, ""))[0]
    answer = (operation, response["code"], _code(response))
    found.answered.add(answer)
    said = {one["assertion"] for one in assertions}
    wanted = {f"status is {answer[1]}", *([f"code is {answer[2]}"] if answer[2] else [])}
    meant = expected.get(item["id"], answer)
    if wanted <= said and not failed and answer == meant:
        found.asserted.add(answer)


def _code(response: dict[str, Any]) -> str:
    body = bytes(response.get("stream", {}).get("data", []))
    if response["code"] < 300:
        return ""
    return str(json.loads(body).get("code", ""))
