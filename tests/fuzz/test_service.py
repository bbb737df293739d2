"""Schemathesis against the running service: every phase, every check, two users."""

import json
import os
import shutil
import subprocess
import sys
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import APIRouter, HTTPException
from pydantic import BaseModel

from tasks_backend import Plugin, Settings, create_app
from tasks_backend.testing.service import served
from tasks_backend.testing.signing import Signer

HERE = Path(__file__).parent
PHASES = {"examples", "coverage", "fuzzing", "stateful"}
CHECKS = set(
    """
    not_a_server_error status_code_conformance content_type_conformance
    response_headers_conformance response_schema_conformance negative_data_rejection
    positive_data_acceptance missing_required_header unsupported_method
    allow_header_conformance use_after_free ensure_resource_availability
    ignored_auth object_level_authorization
    """.split()
)


@dataclass
class Run:
    """The results of a Schemathesis run."""

    exit_code: int
    output: str
    phases: dict[str, str] = field(default_factory=dict)
    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    checks: Counter[tuple[str, str]] = field(default_factory=Counter)

    def add(self, event: dict[str, Any]) -> None:
        ((kind, details),) = event.items()
        if kind == "PhaseFinished":
            self.phases[details["phase"]["name"]] = details["status"]
        if kind != "ScenarioFinished" or "cases" not in details["recorder"]:
            return
        recorder = details["recorder"]
        for name, case in recorder["cases"].items():
            response = recorder["interactions"].get(name, {}).get("response")
            if response is not None:
                operation = f"{case['value']['method']} {case['value']['path']}"
                self.answers[operation, response["status_code"]] += 1
        for checks in recorder["checks"].values():
            self.checks.update((check["name"], check["status"]) for check in checks)

    def failed(self) -> set[str]:
        return {check for check, status in self.checks if status == "failure"}


@pytest.fixture
def tokens(signer: Signer) -> dict[str, str]:
    """The tokens of Alice, who sends everything, and of Bob, whose tasks she must not reach."""
    tomorrow = int(time.time()) + 86_400
    return {name: signer.token(name, exp=tomorrow) for name in ("alice", "bob")}


@pytest.fixture
def directory(tmp_path: Path, tokens: dict[str, str]) -> Path:
    """The only directory to which Schemathesis writes, with its settings and hooks."""
    users = [
        {"name": name, "fixedHeaders": [{"name": "Authorization", "value": f"Bearer {token}"}]}
        for name, token in tokens.items()
    ]
    (tmp_path / "users.json").write_text(json.dumps({"auth": users}))
    (tmp_path / "foreign.dict").write_text(f'"{uuid.uuid4()}"')
    shutil.copy(HERE / "schemathesis.toml", tmp_path)
    return tmp_path


def schemathesis(url: str, directory: Path, *arguments: str, seed: int, timeout: float) -> Run:
    general = ["--no-color", "--config-file", str(directory / "schemathesis.toml")]
    reports = f"--seed {seed} --report ndjson --report-ndjson-path events.ndjson".split()
    command = [sys.executable, "-m", "schemathesis.cli", *general, "run", f"{url}/openapi.json"]
    finished = subprocess.run(
        [*command, *reports, *arguments],
        cwd=directory,
        env={**os.environ, "SCHEMATHESIS_HOOKS": str(HERE / "hooks.py")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
        check=False,
    )
    run = Run(finished.returncode, finished.stdout)
    events = directory / "events.ndjson"
    for line in events.read_text().splitlines() if events.exists() else ():
        run.add(json.loads(line))
    return run


def test_no_check_fails(
    service: str,
    tokens: dict[str, str],
    directory: Path,
    pytestconfig: pytest.Config,
    answers: Counter[tuple[str, int]],
) -> None:
    seconds, seed = pytestconfig.getoption("fuzz_seconds"), pytestconfig.getoption("fuzz_seed")
    limit = ("--max-time", str(seconds))
    headers = {"Authorization": f"Bearer {tokens['bob']}"}
    with httpx2.Client(base_url=service, headers=headers, timeout=20) as bob:
        task = bob.post("/api/v1/tasks", json={"title": "Buy milk"}).json()
        (directory / "foreign.dict").write_text(f'"{task["id"]}"')
        run = schemathesis(service, directory, *limit, seed=seed, timeout=seconds + 120)
        answers.update(run.answers)
        assert run.exit_code == 0, run.output
        assert {name for name, status in run.phases.items() if status == "success"} >= PHASES
        assert {check for check, _ in run.checks} == CHECKS
        assert max(status for _, status in run.answers) < 500
        assert {operation for operation, status in run.answers if status < 300} == documented(bob)
        assert any(status == 403 for _, status in run.answers)
        assert bob.get("/api/v1/tasks").json()["items"] == [task]


def documented(client: httpx2.Client) -> set[str]:
    paths = client.get("/openapi.json").json()["paths"]
    return {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}


class Note(BaseModel):
    title: str


class Kept(Note):
    id: int


def careless() -> Plugin:
    """Notes with three defects: odd characters cause a 500, a 409 is not documented, and every
    user can read all notes.
    """
    router, notes = APIRouter(), list[str]()

    @router.post("", status_code=201)
    async def keep(note: Note) -> Kept:
        if not note.title.isprintable():
            raise RuntimeError
        if note.title in notes:
            raise HTTPException(409)
        notes.append(note.title)
        return Kept(id=len(notes) - 1, title=note.title)

    @router.get("/{note_id}", responses={404: {"description": "No such note."}})
    async def show(note_id: int) -> Kept:
        if not 0 <= note_id < len(notes):
            raise HTTPException(404)
        return Kept(id=note_id, title=notes[note_id])

    return Plugin(name="notes", routers={"v1": router})


def test_injected_defects_are_found(
    settings: Settings, directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("CRITICAL")  # each crash would be logged with its traceback
    limits = ("--include-path-regex", "notes", "--max-examples", "50")
    with served(create_app(settings, plugins=[careless()])) as url:
        run = schemathesis(url, directory, *limits, seed=1, timeout=120)
    planted = {"not_a_server_error", "status_code_conformance", "object_level_authorization"}
    assert run.failed() >= planted, run.output
    assert run.exit_code == 1
