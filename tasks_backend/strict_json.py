"""JSON of which there is one reading: what two parsers could understand differently is refused."""

import json
from typing import Any, NoReturn


def loads(raw: bytes) -> Any:
    """Return the value of a JSON text in UTF-8 (RFC 8259).

    Raises ValueError for what is none, for a name given twice in one object, for NaN and
    Infinity, and for nesting or numbers beyond what Python will read.
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
