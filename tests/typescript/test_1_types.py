"""The client and the compiler: correct code compiles, and wrong code does not."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
from better_auth.log import Say

from typescript.project import CLIENT, NEXT, Project

TIMEOUT = 120  # seconds
REFUSED = "driver/refused.ts"


def tsc(project: Project) -> str:
    """The compiler's errors."""
    return project.attempt("npm", "run", "--silent", "check", timeout=TIMEOUT).stdout


def test_the_client_compiles_under_the_strictest_settings(project: Project, say: Say) -> None:
    options = project.run("npx", "tsc", "--showConfig", timeout=TIMEOUT)
    for option in ("strict", "noUncheckedIndexedAccess", "exactOptionalPropertyTypes"):
        assert f'"{option}": true' in options
    assert tsc(project) == ""
    version = project.run("npx", "tsc", "--version", timeout=TIMEOUT).strip()
    generated = (project.directory / CLIENT).read_text()
    mistakes = (NEXT / REFUSED).read_text().count("// @ts-expect-error")
    say(
        f"TypeScript: {version}; generated: {len(generated.splitlines())} lines, types alone;"
        f" {mistakes} mistakes, each refused"
    )


def test_an_outdated_client_is_noticed(project: Project, openapi: dict[str, Any], say: Say) -> None:
    assert project.generate(openapi, "--check", timeout=TIMEOUT)
    other = copy.deepcopy(openapi)
    _codes_are_numbers(other)
    assert not project.generate(other, "--check", timeout=TIMEOUT)
    say("--check: content with the document it was made from, and with no other")


def _codes_are_numbers(openapi: dict[str, Any]) -> None:
    openapi["components"]["schemas"]["Problem"]["properties"]["code"]["type"] = "integer"


def _a_filter_is_a_text(openapi: dict[str, Any]) -> None:
    parameters = openapi["paths"]["/api/v1/tasks"]["get"]["parameters"]
    (completed,) = (each for each in parameters if each["name"] == "completed")
    completed["schema"]["type"] = "string"


def _a_title_may_be_left_out(openapi: dict[str, Any]) -> None:
    openapi["components"]["schemas"]["TaskReplace"]["required"].remove("title")


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        pytest.param(_codes_are_numbers, "lib/problems.ts(", id="codes are numbers"),
        pytest.param(_a_filter_is_a_text, "driver/life.ts(", id="a filter is a text"),
        pytest.param(_a_title_may_be_left_out, f"{REFUSED}(", id="a field that is optional"),
    ],
)
def test_the_compiler_finds_a_changed_contract(
    project: Project,
    openapi: dict[str, Any],
    say: Say,
    spoil: Callable[[dict[str, Any]], None],
    complaint: str,
) -> None:
    other = copy.deepcopy(openapi)
    spoil(other)
    try:
        assert project.generate(other, timeout=TIMEOUT)
        complaints = tsc(project)
    finally:
        assert project.generate(openapi, timeout=TIMEOUT)
    assert complaint in complaints
    say(f"tsc: {complaints.splitlines()[0]}")
