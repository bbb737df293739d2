"""Refusals that are right although a schema cannot tell: Schemathesis does not count them.

Each is known by the code of its problem, so that any other refusal, of the same status too, counts.
"""

from typing import Any

import schemathesis
from schemathesis import Case, HookContext, Response
from schemathesis.core.failures import AcceptedNegativeData, Failure
from schemathesis.openapi.checks import EnsureResourceAvailability, RejectedPositiveData

STATE = {
    "version_mismatch",  # If-Match is right in form and names a version that the task has left
    "invalid_cursor",  # a cursor is opaque: only the service can make one
    "idempotency_key_reused",  # a key belongs to the request that it was first sent with
}
replayed = set[str]()


@schemathesis.hook
def after_call(context: HookContext, case: Case[Any], response: Response) -> None:
    """Remember which creations were repetitions of earlier ones."""
    if "idempotency-replayed" in response.headers:
        replayed.update(response.headers.get("location", []))


@schemathesis.hook
def filter_failure(
    context: HookContext, failure: Failure, case: Case[Any], response: Response
) -> bool:
    """Whether the failure counts."""
    code = response.json().get("code") if response.content else None
    if isinstance(failure, RejectedPositiveData):
        return code not in STATE
    if isinstance(failure, AcceptedNegativeData):
        return code != "version_mismatch"  # refused, for what comes first in the order of checks
    if isinstance(failure, EnsureResourceAvailability):
        # A repeated creation is answered as the first one was, though the task may be gone by now.
        return not any(case.formatted_path.startswith(path) for path in replayed)
    return True
