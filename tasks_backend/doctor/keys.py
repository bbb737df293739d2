"""The published keys, and which of them may vouch for a caller."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from jwt import PyJWK

from tasks_backend.auth.key_set import KeySet
from tasks_backend.auth.keys import NotAKeySet, Published, parse_key_set
from tasks_backend.doctor.findings import Finding, counted, note, ok, problem
from tasks_backend.doctor.key_endpoint import Answer, Unusable, ask, public_address
from tasks_backend.errors import AuthUnavailable, InvalidToken
from tasks_backend.settings import Settings

FETCH_TIMEOUT = 4.0  # seconds
_NOBODY = "tasks-backend-doctor"  # an id that no key has: asking for it is asking the endpoint


@dataclass(frozen=True)
class Keys:
    """What is known of the keys, to explain a verdict by."""

    are_known: bool = False
    usable: Mapping[str, PyJWK] = field(default_factory=dict)
    ids: frozenset[str] = frozenset()
    """The ids of all members, also of those that are not used."""
    clock_ahead: float | None = None


async def examine(settings: Settings, key_set: KeySet) -> tuple[list[Finding], Keys]:
    """Return what the service's own key set comes to, and why."""
    check, where = "keys.endpoint", public_address(settings.keys_url)
    timeout = min(settings.jwks_timeout, FETCH_TIMEOUT)
    looking = asyncio.create_task(ask(settings.keys_url, timeout=timeout))
    serves = await _answers(key_set)
    try:
        answer = await looking
        published = parse_key_set(answer.body, settings.jwt_algorithms)
    except Unusable as error:
        return [problem(check, f"{where} is of no use: {error}.")], Keys()
    except NotAKeySet as error:
        advice = "is that the right address?"
        return [problem(check, f"{where} sends no key set ({error}): {advice}")], Keys()
    found = [_endpoint(where, answer, serves=serves), _usable(published)]
    ids = _ids(answer.body)
    return found, Keys(
        are_known=True, usable=published.keys, ids=ids, clock_ahead=answer.clock_ahead
    )


async def _answers(key_set: KeySet) -> bool:
    """Whether the service gets an answer, which says that it has no key of that id."""
    try:
        await key_set.key(_NOBODY)
    except AuthUnavailable:
        return False
    except InvalidToken:
        return True
    return True


def _endpoint(where: str, answer: Answer, *, serves: bool) -> Finding:
    check = "keys.endpoint"
    if not serves:
        return problem(check, f"{where} answers only now and then: look at the auth server.")
    return ok(check, f"{where} answers in {max(1, round(answer.seconds * 1000))} ms.")


def _usable(published: Published) -> Finding:
    check = "keys.usable"
    reasons = ", ".join(f"{count} {why}" for why, count in sorted(published.refused.items()))
    if published.keys:
        names = sorted({key.algorithm_name for key in published.keys.values()})
        message = f"{counted(len(published.keys), 'usable key')} ({', '.join(names)})"
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
        " Better Auth makes one with the next token.",
    )


def _ids(body: bytes) -> frozenset[str]:
    members = json.loads(body.decode("utf-8-sig"), parse_int=float)["keys"]
    found = (member.get("kid") for member in members if isinstance(member, dict))
    return frozenset(kid for kid in found if isinstance(kid, str))
