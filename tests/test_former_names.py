"""Names that deployments and plugins of 0.1 use still work, and warn."""

import importlib
import sys

import pytest
from sqlalchemy import text

from tasks_backend import statement
from tasks_backend.http.request_record import RequestRecord, get_record
from tasks_backend.serving.server import application


def imported_anew(name: str) -> object:
    sys.modules.pop(name, None)
    return importlib.import_module(name)


def test_the_application_is_found_at_its_former_place() -> None:
    with pytest.warns(DeprecationWarning, match=r"tasks_backend\.serving\.server"):
        module = imported_anew("tasks_backend.server")
    assert module.application is application  # type: ignore[attr-defined] # any module's type


def test_a_plugin_finds_the_record_of_its_request_at_its_former_place() -> None:
    with pytest.warns(DeprecationWarning, match=r"tasks_backend\.http\.request_record"):
        module = imported_anew("tasks_backend.observation")
    assert module.current is get_record  # type: ignore[attr-defined] # any module's type
    record = RequestRecord("an id", "GET")
    with pytest.warns(DeprecationWarning, match="database_calls"):
        assert record.exchanges is record.database_calls


def test_a_statement_takes_its_former_parameter() -> None:
    with pytest.warns(DeprecationWarning, match="idempotent"):
        made = statement(text("SELECT 1"), repeatable=True)  # type: ignore[arg-type] # as it was
    assert made.idempotent
    assert made.settings == {}
    with pytest.raises(TypeError, match="idempotent"):
        statement(text("SELECT 1"))
