"""Every requirement of docs/specification.md has a test, and docs/traceability.md says which."""

import pytest
from support.traceability import complaint


def test_every_requirement_has_a_test_and_the_document_is_current(
    request: pytest.FixtureRequest,
) -> None:
    assert complaint(request.session) == ""
