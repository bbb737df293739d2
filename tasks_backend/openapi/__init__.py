"""The OpenAPI document: what FastAPI derives, and what this service's own way adds to it.

Bodies are taken after the gate and failures have one shape, neither of which FastAPI can know; so
routes say what they take and answer with `body`, `header` and `problems`, and `document` adds what
every operation shares.
"""

from tasks_backend.openapi.describe import Tag, answer, body, header, problems
from tasks_backend.openapi.document import document

__all__ = ["Tag", "answer", "body", "document", "header", "problems"]
