"""The published files, and their required content."""

import json
from pathlib import Path

from support.documents import document

from postman.collection import collection, environment

_DOCS = Path(__file__).parents[2] / "docs" / "postman"
COLLECTION = _DOCS / "tasks_backend.postman_collection.json"
ENVIRONMENT = _DOCS / "tasks_backend.postman_environment.json"
FILES = (COLLECTION, ENVIRONMENT)


def text(path: Path) -> str:
    """The content of a file from the application and the test data; it is deterministic."""
    content = collection(document()) if path == COLLECTION else environment()
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"
