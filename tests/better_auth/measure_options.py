"""Measure each configuration, for the tables of docs/auth.md: `nox -s better-auth -- --options`."""

from collections.abc import Callable
from dataclasses import asdict

import pytest

from better_auth.log import Say
from better_auth.measuring import measure
from better_auth.options import OPTIONS, Option
from better_auth.people import People
from better_auth.programs import Deployment


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_option(
    option: Option,
    empty: Deployment,
    people: People,
    record_property: Callable[[str, object], None],
    say: Say,
) -> None:
    empty.run("tasks-backend", "migrate")
    measured = measure(option, empty, people)
    record_property("measured", asdict(measured))
    say(str(measured))
