"""Check the published keys, and which of them the service can use."""

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from jwt import PyJWK

from tasks_backend.auth.key_endpoint import KeysUnavailable
from tasks_backend.auth.key_set import KeySet
from tasks_backend.auth.keys import NotAKeySet, Published
from tasks_backend.doctor.findings import Finding, note, ok, problem
from tasks_backend.errors import AuthUnavailable, InvalidToken
from tasks_backend.terminal import pluralise

FETCH_TIMEOUT = 4.0  # seconds
_ABSENT_KEY_ID = "tasks-backend-doctor"  # no key has this id, so looking it up causes a fetch


@dataclass(frozen=True)
class Keys:
    """What is known about the keys; it explains the verdict on a token."""

    are_known: bool = False
    usable: Mapping[str, PyJWK] = field(default_factory=dict)
    ids: frozenset[str] = frozenset()
    """The ids of all published keys, including unused ones."""
    clock_ahead: float | None = None


async def examine(key_set: KeySet) -> tuple[list[Finding], Keys]:
    """Return the findings on the service's key set, and the keys."""
    check, where = "keys.endpoint", key_set.address
    with contextlib.suppress(AuthUnavailable, InvalidToken):
        await key_set.key(_ABSENT_KEY_ID)
    latest = key_set.latest
    if isinstance(latest, NotAKeySet):
        advice = "is that the right address?"
        return [problem(check, f"{where} sends no key set ({latest}): {advice}")], Keys()
    if latest is None or isinstance(latest, KeysUnavailable):
        return [problem(check, f"{where} is not usable: {latest or 'it did not answer'}.")], Keys()
    response, published = latest
    milliseconds = max(1, round((response.received_at - response.sent_at) * 1000))
    answer = ok(check, f"{where} answers in {milliseconds} ms.")
    keys = Keys(
        are_known=True,
        usable=published.keys,
        ids=_ids(response.body),
        clock_ahead=response.clock_ahead,
    )
    return [answer, _usable(published)], keys


def _usable(published: Published) -> Finding:
    check = "keys.usable"
    reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(published.refused.items()))
    if published.keys:
        names = sorted({key.algorithm_name for key in published.keys.values()})
        message = f"{pluralise(len(published.keys), 'usable key')} ({', '.join(names)})"
        if reasons:
            return note(check, f"{message}; not used: {reasons}.")
        return ok(check, f"{message}.")
    if reasons:
        return problem(
            check,
            f"No published key can be used: {reasons}. Correct JWT_ALGORITHMS, or Better Auth's"
            " jwks options.",
        )
    return note(
        check,
        "No key is published, which is normal before the first token and after a long idle time:"
        " Better Auth creates one with the next token.",
    )


def _ids(body: bytes) -> frozenset[str]:
    members = json.loads(body.decode("utf-8-sig"), parse_int=float)["keys"]
    ids = (member.get("kid") for member in members if isinstance(member, dict))
    return frozenset(kid for kid in ids if isinstance(kid, str))
