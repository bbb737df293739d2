"""The Python programs of docs/embedding.md."""

import re
from pathlib import Path

DOCUMENT = Path(__file__).parents[2] / "docs" / "embedding.md"


def program(name: str) -> str:
    """Return the program that begins with a comment with its file's name."""
    form = rf"^```python\n(# {name}\n.*?)^```"
    found = re.search(form, DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
    assert found, name
    return found[1]
