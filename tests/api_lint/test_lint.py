"""Two linters, which find different things, report no error and no warning for the document."""

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from support.documents import COMMITTED, document
from support.node import installed, run

HERE = Path(__file__).parent
Linter = Callable[[Any], tuple[int, str]]


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return installed(HERE / "package.json", tmp_path_factory.mktemp("node"))


@pytest.fixture
def redocly(programs: Path, tmp_path: Path) -> Linter:
    def lint(described: Any) -> tuple[int, str]:
        (tmp_path / "openapi.json").write_text(json.dumps(described))
        config = f"--config={HERE / 'redocly.yaml'}"
        done = run(tmp_path, programs / "redocly", "lint", "openapi.json", config, check=False)
        return done.returncode, done.stdout

    return lint


@pytest.fixture
def spectral(programs: Path, tmp_path: Path) -> Linter:
    def lint(described: Any) -> tuple[int, str]:
        (tmp_path / "openapi.json").write_text(json.dumps(described))
        strict = ("--fail-severity=hint", f"--ruleset={HERE / 'spectral.yaml'}")
        done = run(tmp_path, programs / "spectral", "lint", "openapi.json", *strict, check=False)
        return done.returncode, done.stdout

    return lint


def test_the_committed_document_is_current() -> None:
    assert json.loads(COMMITTED.read_text()) == document()


def test_redocly_finds_nothing(redocly: Linter) -> None:
    status, said = redocly(document())
    assert status == 0, said
    assert "Your API description is valid." in said
    assert "warning" not in said.lower().replace("deprecation warning: node.js", "")


def test_spectral_finds_nothing(spectral: Linter) -> None:
    status, said = spectral(document())
    assert status == 0, said
    assert "No results with a severity of 'hint' or higher found!" in said


def without_a_licence(described: Any) -> None:
    del described["info"]["license"]


def without_an_example(described: Any) -> None:
    del described["components"]["schemas"]["Task"]["properties"]["title"]["examples"]


def with_a_wrong_example(described: Any) -> None:
    described["components"]["schemas"]["Task"]["properties"]["title"]["examples"] = [1]


def with_an_anonymous_schema(described: Any) -> None:
    answer = described["paths"]["/livez"]["get"]["responses"]["200"]
    answer["content"]["application/json"]["schema"] = {"type": "object"}


def with_another_failures_shape(described: Any) -> None:
    answer = described["paths"]["/livez"]["get"]["responses"]["413"]
    answer["content"] = {"application/json": answer["content"].popitem()[1]}


def with_an_unused_component(described: Any) -> None:
    described["components"]["responses"]["Nobodys"] = {"description": "Nobody answers this."}


@pytest.mark.parametrize(
    ("linter", "spoil", "rule"),
    [
        ("redocly", without_a_licence, "info-license"),
        ("redocly", with_a_wrong_example, "no-invalid-schema-examples"),
        ("redocly", with_another_failures_shape, "operation-4xx-problem-details-rfc7807"),
        ("spectral", without_an_example, "fields-are-described"),
        ("spectral", with_an_anonymous_schema, "schemas-have-names"),
        ("spectral", with_an_unused_component, "oas3-unused-component"),
    ],
)
def test_an_injected_defect_is_found(
    request: pytest.FixtureRequest, linter: str, spoil: Callable[[Any], None], rule: str
) -> None:
    described = deepcopy(document())
    spoil(described)
    status, said = request.getfixturevalue(linter)(described)
    assert status != 0
    assert rule in said
