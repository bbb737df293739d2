"""The documented patterns and the validators accept the same texts.

A pattern has the meaning of JSON Schema (ECMA-262): it works on characters, and `$` is the very
end, `\\Z` in Python. `tests/fuzz` compares whole bodies with whole schemas.
"""

import re

import pytest
from pydantic import TypeAdapter, ValidationError

from tasks_backend.tasks.models import (
    DESCRIPTION_PATTERN,
    SEARCH_PATTERN,
    TITLE_LENGTH,
    TITLE_PATTERN,
    Description,
    SearchText,
    Title,
)

pytestmark = pytest.mark.proves("FR-002")

TITLE = TypeAdapter(Title), re.compile(TITLE_PATTERN.removesuffix("$") + r"\Z")
DESCRIPTION = TypeAdapter(Description), re.compile(DESCRIPTION_PATTERN.removesuffix("$") + r"\Z")
SEARCH = TypeAdapter(SearchText), re.compile(SEARCH_PATTERN.removesuffix("$") + r"\Z")
LONE_SURROGATES = range(0xD800, 0xE000)  # not characters; rejected before a pattern is applied
PLANE_0 = [chr(code) for code in range(0x10000) if code not in LONE_SURROGATES]


def taken(text: TypeAdapter[str], value: str) -> bool:
    try:
        text.validate_python(value, strict=True)
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize("place", ["{}", "z{}", "{}z", "z{}z"])
@pytest.mark.parametrize(
    ("text", "pattern"), [TITLE, DESCRIPTION, SEARCH], ids=["title", "description", "search"]
)
def test_every_character_is_accepted_as_documented(
    text: TypeAdapter[str], pattern: re.Pattern[str], place: str
) -> None:
    values = map(place.format, PLANE_0)
    assert [v for v in values if taken(text, v) != bool(pattern.search(v))] == []


@pytest.mark.parametrize("filling", ["z", " ", "\u3000", "\U0001f4b8", "\n"])
def test_every_length_near_the_limit_is_accepted_as_documented(filling: str) -> None:
    text, pattern = TITLE
    for length in range(TITLE_LENGTH - 3, TITLE_LENGTH + 3):
        for before in ("", " ", "\u00a0z"):
            for after in ("", "z", "\u2003", "z "):
                value = f"{before}{filling * length}{after}"
                assert taken(text, value) == bool(pattern.search(value)), ascii(value)
