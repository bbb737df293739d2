"""The tables of docs/auth.md, which `nox -s better-auth -- --options` and `-- --versions` renew."""

from better_auth.documented import read
from better_auth.measuring import EVENTS
from better_auth.options import OPTIONS


def test_the_tables_have_a_row_for_each_configuration_and_event() -> None:
    assert [row[0] for row in read("options")] == [option.name for option in OPTIONS]
    assert [row[0] for row in read("events")] == list(EVENTS)


def test_the_oldest_supported_version_passed() -> None:
    assert read("versions")[0][0] == "1.6.14"
