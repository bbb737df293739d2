"""Correct refusals that a schema cannot express: Schemathesis does not count them.

Each is recognised by its problem code, so any other refusal with the same status counts.
"""

from typing import Any

import schemathesis
from schemathesis import Case, HookContext, Response
from schemathesis.core.failures import AcceptedNegativeData, Failure
from schemathesis.openapi.checks import EnsureResourceAvailability, RejectedPositiveData

STATE = {
    "version_mismatch",  # a well-formed If-Match names an older version
    "invalid_cursor",  # a cursor is opaque: only the service can create one
    "idempotency_key_reused",  # a key belongs to its first request
}
replayed = set[str]()


@schemathesis.hook
def after_call(context: HookContext, case: Case[Any], response: Response) -> None:
    """Remember which creations were replays."""
    if "idempotency-replayed" in response.headers:
        replayed.update(response.headers.get("location", []))


@schemathesis.hook
def filter_failure(
    context: HookContext, failure: Failure, case: Case[Any], response: Response
) -> bool:
    """Return whether the failure counts."""
    code = response.json().get("code") if response.content else None
    if isinstance(failure, RejectedPositiveData):
        tag = str(dict(case.headers or {}).get("If-Match", "*"))
        return code not in STATE and (tag == "*" or '"' in tag)  # it also sends 0, which is no tag
    if isinstance(failure, AcceptedNegativeData):
        return code != "version_mismatch"  # refused by a check that comes earlier
    if isinstance(failure, EnsureResourceAvailability):
        # A replayed creation has the first answer, even if the task was deleted since.
        return not any(case.formatted_path.startswith(path) for path in replayed)
    return True
