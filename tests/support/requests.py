"""Hypothesis strategies for the parts of a request, with their meaning for the model."""

from dataclasses import dataclass
from typing import Any

import orjson
from hypothesis import strategies as st

from support.model import MALFORMED_KEY, Condition, Json, Refusal
from tasks_backend.errors import MalformedJson, UnsupportedMediaType, ValidationFailed


@dataclass(frozen=True)
class Body:
    """A body, and its fields or the reason for its refusal."""

    content: bytes
    fields: Json | Refusal
    media_type: str = "application/json"


_spaces = st.sampled_from(["", " ", "  "])
_words = st.text("aZ é漢🎉'\\\"<", min_size=1, max_size=6).filter(str.strip)
_title = st.builds("{}{}{}".format, _spaces, _words, _spaces)
_description = st.none() | st.text("a\n\t é漢🎉", max_size=6)
_optional: Any = {"description": _description, "completed": st.booleans()}


def _invalid(*entries: tuple[str, str]) -> Refusal:
    return Refusal(ValidationFailed, tuple(("body", field, code) for field, code in entries))


def _json(fields: Any, refusal: Refusal | None = None) -> Body:
    return Body(orjson.dumps(fields), refusal or fields)


_WHOLE: Json = {"title": "x", "description": None, "completed": True}
_REFUSED_BY_ALL = [
    Body(b'{"title":', Refusal(MalformedJson)),
    Body(b'{"title":"a","title":"b"}', Refusal(MalformedJson)),
    Body(orjson.dumps(_WHOLE), Refusal(UnsupportedMediaType), "text/plain"),
    _json({**_WHOLE, "title": "   "}, _invalid(("title", "string_too_short"))),
    _json({**_WHOLE, "title": "x" * 201}, _invalid(("title", "string_too_long"))),
    _json({**_WHOLE, "title": "a\nb"}, _invalid(("title", "control_character"))),
    _json({**_WHOLE, "completed": "yes"}, _invalid(("completed", "bool_type"))),
    _json({**_WHOLE, "user_id": "somebody"}, _invalid(("", "extra_forbidden"))),
    _json({**_WHOLE, "id": "x"}, _invalid(("", "extra_forbidden"))),
    _json([], _invalid(("", "model_type"))),
]


def _bodies(fields: st.SearchStrategy[Json], *refused: Body) -> st.SearchStrategy[Body]:
    """Mostly valid bodies."""
    good, bad = fields.map(_json), st.sampled_from([*_REFUSED_BY_ALL, *refused])
    return st.integers(0, 5).flatmap(lambda number: bad if number == 5 else good)


_new = st.fixed_dictionaries({"title": _title}, optional=_optional)
good = _new.map(_json)
new = _bodies(_new, _json({}, _invalid(("title", "missing"))))
patches = _bodies(
    st.fixed_dictionaries({}, optional={"title": _title, **_optional}),
    _json({"title": None}, _invalid(("title", "string_type"))),
    _json({"completed": None}, _invalid(("completed", "bool_type"))),
)
wholes = _bodies(
    st.fixed_dictionaries({"title": _title, **_optional}),
    _json({"title": "x"}, _invalid(("description", "missing"), ("completed", "missing"))),
)
keys = st.sampled_from([*[None] * 4, *["k1", "k2"] * 3, MALFORMED_KEY])
"""Few keys, so that requests share them."""
targets = st.tuples(
    st.sampled_from([*["own"] * 6, *["foreign"] * 3, "gone", "unknown", "malformed"]),
    st.integers(0, 4),
)
"""The owner of the task, and its number."""
conditions = st.sampled_from(
    [
        *["none", "right"] * 6,
        "stale",
        "next",
        "any",
        "list",
        "stale list",
        "weak",
        "compressed",
        "no tag",
    ]
)


def condition(kind: str, version: int) -> Condition:
    """The `If-Match` of this kind for a task in this version."""
    right = f'"{version}"'
    spellings = {
        "none": Condition(),
        "right": Condition(right),
        "any": Condition("*"),
        "list": Condition(f'"{version + 7}", {right}'),
        "stale": Condition(f'"{version - 1}"', met=False),
        "next": Condition(f'"{version + 1}"', met=False),
        "stale list": Condition(f'"{version + 1}", W/"{version + 2}"', met=False),
        "weak": Condition(f"W/{right}"),
        "compressed": Condition(f'"{version}-gzip"'),
        "no tag": Condition(str(version), valid=False),
    }
    return spellings[kind]
