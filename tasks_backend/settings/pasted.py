"""Values as people paste them: with white space or quotes around them, in another case."""

import re
from collections.abc import Iterable

QUOTES = "\"'`“”„‘’‚«»"  # noqa: RUF001 - no letters are meant
_INVISIBLE = " \t\r\n\f\v\0\N{NO-BREAK SPACE}\N{ZERO WIDTH SPACE}\N{ZERO WIDTH NO-BREAK SPACE}"


def clean(text: str) -> str:
    """Return the text without white space around it, and without one pair of quotes around it.

    The quotes of an env file reach the process if the file is read by `docker run --env-file`.
    """
    text = text.strip(_INVISIBLE)
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" and text[0] not in text[1:-1]:
        return text[1:-1].strip(_INVISIBLE)
    return text


def split_list(text: str) -> tuple[str, ...]:
    """Return the items of a list, separated by commas or white space."""
    return tuple(item for part in re.split(r"[\s,]+", text) if (item := clean(part)))


def match_case(text: str, names: Iterable[str]) -> str:
    """Return the name that is the text in another case; the text itself if none is."""
    return next((name for name in names if name.casefold() == text.casefold()), text)


def require_printable(text: str) -> str:
    """Return the text. Raises ValueError if it has a quotation mark at an end or an invisible character."""
    if text and (text[0] in QUOTES or text[-1] in QUOTES):
        raise ValueError("has a quotation mark at its start or end: remove it")
    if not text.isprintable():
        raise ValueError("has a line break or another invisible character inside: remove it")
    return text
