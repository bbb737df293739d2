"""The OpenAPI document: what FastAPI derives, and what this service adds.

FastAPI knows neither the bodies, which are read after the gate, nor the one shape of failures.
Routes describe them with `body`, `header` and `problems`; `document` adds what operations share.
"""

from tasks_backend.openapi.describe import Tag, body, header, json_response, problems
from tasks_backend.openapi.document import document

__all__ = ["Tag", "body", "document", "header", "json_response", "problems"]
