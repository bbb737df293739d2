"""Unambiguous JSON: a text that two parsers could read differently is rejected."""

import json
import re
from itertools import islice
from typing import Any, NoReturn

_NAME_ENDS = re.compile(rb'"\s*:')


def has_more_members(raw: bytes, most: int) -> bool:
    """Return whether the objects of a JSON text have more than `most` members, without parsing it."""
    if raw.count(b":") <= most:
        return False
    # without escapes, each quote begins or ends a string
    unescaped = raw.replace(b"\\\\", b"").replace(b'\\"', b"")
    # a quote in the place of each string
    outside = b'"'.join([b"", *unescaped.split(b'"')[2::2]])
    return any(islice(_NAME_ENDS.finditer(outside), most, None))


def loads(raw: bytes) -> Any:
    """Return the value of a JSON text in UTF-8 (RFC 8259).

    Raises ValueError for invalid JSON, a name given twice in one object, NaN and Infinity, and
    nesting or numbers beyond Python's limits.
    """
    try:
        return _DECODER.decode(raw.decode("utf-8"))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a name is given twice")
    return result


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse_constant)
