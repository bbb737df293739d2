"""Former names still work, with a warning that says until when."""

import importlib
import re
import sys
from pathlib import Path

import pytest
from sqlalchemy import text

from tasks_backend import __version__, row_level_security, statement
from tasks_backend.former_names import REMOVED_IN
from tasks_backend.http.request_record import RequestRecord, get_record
from tasks_backend.serving.server import application


def warning(name: str) -> str:
    return f"is now {name}; .* {re.escape(REMOVED_IN)} removes"


def test_they_are_removed_in_the_version_that_the_changelog_names() -> None:
    """Remove them, and this file, before the version is set to that one."""
    assert [int(part) for part in __version__.split(".")] < [
        int(part) for part in REMOVED_IN.split(".")
    ]
    changelog = (Path(__file__).parents[1] / "docs/changelog.md").read_text()
    assert set(re.findall(r"until (\d[\d.]*\d)", changelog)) == {REMOVED_IN}


def imported_anew(name: str) -> object:
    sys.modules.pop(name, None)
    return importlib.import_module(name)


def test_the_former_path_of_the_application_works() -> None:
    with pytest.warns(DeprecationWarning, match=warning(r"tasks_backend\.serving\.server")):
        module = imported_anew("tasks_backend.server")
    assert module.application is application  # type: ignore[attr-defined] # any module's type


def test_the_former_path_of_the_request_record_works() -> None:
    with pytest.warns(DeprecationWarning, match=warning(r"tasks_backend\.http\.request_record")):
        module = imported_anew("tasks_backend.observation")
    assert module.current is get_record  # type: ignore[attr-defined] # any module's type
    record = RequestRecord("an id", "GET")
    with pytest.warns(DeprecationWarning, match=warning("database_calls")):
        assert record.exchanges is record.database_calls


def test_a_statement_accepts_its_former_parameter() -> None:
    with pytest.warns(DeprecationWarning, match=warning("idempotent")):
        made = statement(text("SELECT 1"), repeatable=True)  # type: ignore[arg-type] # as it was
    assert made.idempotent
    assert made.settings == {}
    with pytest.warns(DeprecationWarning, match=warning("settings={}")):
        made = statement(text("SELECT 1"), idempotent=True, work_mem="8MB")
    assert made.settings == {"work_mem": "8MB"}
    with pytest.raises(TypeError, match="idempotent"):
        statement(text("SELECT 1"))


def test_privileges_may_be_separate_arguments() -> None:
    with pytest.warns(DeprecationWarning, match=warning("a list of privileges")):
        made = row_level_security("a.b", "SELECT", "INSERT", jobs=["SELECT"])
    assert made == row_level_security("a.b", ["SELECT", "INSERT"], jobs=["SELECT"])
