"""A library that changed under an override of ours stops the import with its name and version."""

from importlib.metadata import version

import pytest

from tasks_backend.auth import tokens
from tasks_backend.compatibility import IncompatibleLibrary, overrides, require_attributes


class Library:
    """What a library offers."""

    def method(self, one: int) -> int:
        return self.helper(one)

    def helper(self, one: int) -> int:
        return one


def test_an_override_of_what_is_there_is_accepted() -> None:
    @overrides("uvicorn", Library, "method", "helper")
    class Ours(Library):
        def method(self, one: int) -> int:
            return -one

    assert Ours().method(1) == -1
    require_attributes("uvicorn", Library, "helper")


@pytest.mark.parametrize("name", ["gone", "method"])
def test_an_override_of_what_changed_stops_the_import(name: str) -> None:
    class Ours(Library):
        def method(self, one: int, two: int) -> int:  # type: ignore[override] # as after a change
            return one + two

        def gone(self) -> None: ...

    with pytest.raises(IncompatibleLibrary, match=rf"uvicorn {version('uvicorn')} .*{name}"):
        overrides("uvicorn", Library, name)(Ours)


def test_an_attribute_that_is_not_used_any_more_stops_the_import() -> None:
    with pytest.raises(IncompatibleLibrary, match="pyjwt"):
        require_attributes("pyjwt", Library, "helper", "unknown")


def test_claims_stay_strict(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the override that PyJWT calls, ambiguous JSON would be accepted silently."""
    monkeypatch.delattr(tokens.StrictJWT, "_decode_payload")
    with pytest.raises(IncompatibleLibrary, match=f"pyjwt {version('pyjwt')}"):
        tokens.require_strict_claims()
