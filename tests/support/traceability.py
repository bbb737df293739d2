"""Which tests prove which requirement: collected from the marker `proves`, stored in docs."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).parents[2] / "docs"
SPECIFICATION = DOCS / "specification.md"
DOCUMENT = DOCS / "traceability.md"
_ROW = re.compile(r"\| ((?:US\d-AC|EDGE-|FR-|SC-)\d+) \| (.*) \| (.*?) ?\|")


@dataclass(frozen=True)
class Requirement:
    """A row of docs/specification.md."""

    text: str
    designed_in: str
    """Links to documents."""

    @property
    def is_planned(self) -> bool:
        """Whether it is not built yet."""
        return self.text.startswith("*added, planned*")


def requirements() -> dict[str, Requirement]:
    """All requirements by their id, in the order of the specification."""
    rows = map(_ROW.fullmatch, SPECIFICATION.read_text().splitlines())
    return {row[1]: Requirement(row[2], row[3]) for row in rows if row}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-traceability", action="store_true", help=f"rewrite {DOCUMENT.name}")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Write the document, if asked to: a part of the suite would leave out the rest."""
    if session.config.getoption("--write-traceability") and _whole_suite(session.config):
        DOCUMENT.write_text(_document(requirements(), _proofs(session)))


def complaint(session: pytest.Session) -> str:
    """Return what is wrong with the markers or the document, or an empty text.

    Of a part of the suite only the ids of the requirements can be checked.
    """
    proofs, specified = _proofs(session), requirements()
    if unknown := proofs.keys() - specified.keys():
        return f"no such requirement: {', '.join(sorted(unknown))}"
    if not _whole_suite(session.config):
        return ""
    unproved = [name for name, each in specified.items() if bool(proofs[name]) == each.is_planned]
    if unproved:
        return f"not proved, or planned although proved: {', '.join(unproved)}"
    undesigned = [
        name for name, each in specified.items() if not (each.is_planned or each.designed_in)
    ]
    if undesigned:
        return f"not designed anywhere: {', '.join(undesigned)}"
    if not DOCUMENT.exists() or DOCUMENT.read_text() != _document(specified, proofs):
        return f"docs/{DOCUMENT.name} is not current: add --collect-only --write-traceability"
    return ""


def _proofs(session: pytest.Session) -> defaultdict[str, set[str]]:
    """The names of the tests that prove a requirement, by its id."""
    proofs = defaultdict(set)
    for item in session.items:
        name = item.nodeid.partition("[")[0].removeprefix("tests/")
        for marker in item.iter_markers("proves"):
            for requirement in marker.args:
                proofs[requirement].add(name)
    for requirement, name in _of_sessions():
        proofs[requirement].add(name)
    return proofs


def _of_sessions() -> Iterator[tuple[str, str]]:
    """The requirements of tests with a nox session of their own, which are not collected here."""
    tests = DOCS.parent / "tests"
    for path in tests.glob("*/test_*.py"):
        for part in ast.walk(ast.parse(path.read_text())):
            if isinstance(part, ast.FunctionDef):
                for marker in part.decorator_list:
                    if isinstance(marker, ast.Call) and ast.unparse(marker.func).endswith(
                        ".proves"
                    ):
                        name = f"{path.relative_to(tests)}::{part.name}"
                        yield from ((ast.literal_eval(each), name) for each in marker.args)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Pass the original arguments to pytest-xdist's workers, which get paths instead."""
    node.workerinput["whole_suite"] = _whole_suite(node.config)


def _whole_suite(config: pytest.Config) -> bool:
    if hasattr(config, "workerinput"):
        return bool(config.workerinput["whole_suite"])
    narrowed = config.getoption("keyword") or config.getoption("markexpr")
    return not narrowed and config.args_source is not pytest.Config.ArgsSource.ARGS


def _document(specified: dict[str, Requirement], proofs: dict[str, set[str]]) -> str:
    lines = [
        "# Traceability",
        "",
        "From each requirement of the [specification](specification.md) to its design and to the tests that",
        "prove it. This page is made by `pytest --write-traceability` from the specification and from",
        "the marker `proves`. The tests fail if a requirement that is not planned has no test, or if this page is not current.",
        "",
        "| requirement | text | designed in | proved by |",
        "|---|---|---|---|",
    ]
    for name, each in specified.items():
        tests = "<br>".join(f"`{test}`" for test in sorted(proofs[name]))
        lines.append(f"| {name} | {each.text} | {each.designed_in} | {tests} |")
    return "\n".join(lines) + "\n"
