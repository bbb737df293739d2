"""Check the published keys, and which of them the service can use."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime

from jwt import PyJWK

from tasks_backend.auth.key_endpoint import KeyEndpoint, KeysResponse, KeysUnavailable
from tasks_backend.auth.key_set import KeySet
from tasks_backend.auth.keys import NotAKeySet, Published, parse_key_set
from tasks_backend.doctor.clocks import clock_offset
from tasks_backend.doctor.findings import Finding, note, ok, pluralise, problem
from tasks_backend.errors import AuthUnavailable, InvalidToken
from tasks_backend.settings import Settings

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


async def examine(settings: Settings, key_set: KeySet) -> tuple[list[Finding], Keys]:
    """Return the findings on the service's key set, and the keys."""
    endpoint = KeyEndpoint(settings.keys_url)
    check, where = "keys.endpoint", endpoint.address
    fetch = asyncio.create_task(endpoint.fetch(min(settings.jwks_timeout, FETCH_TIMEOUT)))
    available = await _service_has_keys(key_set)
    try:
        response = await fetch
        published = parse_key_set(response.body, settings.jwt_algorithms)
    except KeysUnavailable as error:
        return [problem(check, f"{where} is not usable: {error}.")], Keys()
    except NotAKeySet as error:
        advice = "is that the right address?"
        return [problem(check, f"{where} sends no key set ({error}): {advice}")], Keys()
    findings = [_endpoint(where, response, available=available), _usable(published)]
    ids = _ids(response.body)
    return findings, Keys(
        are_known=True, usable=published.keys, ids=ids, clock_ahead=_clock_ahead(response)
    )


async def _service_has_keys(key_set: KeySet) -> bool:
    """Whether the service can fetch its keys; it then reports the absent id as unknown."""
    try:
        await key_set.key(_ABSENT_KEY_ID)
    except AuthUnavailable:
        return False
    except InvalidToken:
        return True
    return True


def _endpoint(where: str, response: KeysResponse, *, available: bool) -> Finding:
    check = "keys.endpoint"
    if not available:
        return problem(check, f"{where} answers only sometimes: check the auth server.")
    milliseconds = max(1, round((response.received_at - response.sent_at) * 1000))
    return ok(check, f"{where} answers in {milliseconds} ms.")


def _clock_ahead(response: KeysResponse) -> float | None:
    """Compare clocks by the response's `Date`, and its `Age` if it was cached (RFC 9110, 9111)."""
    headers = response.headers
    try:
        date = parsedate_to_datetime(headers["date"]).timestamp() + int(headers.get("age", "0"))
    except (KeyError, ValueError):
        return None
    return clock_offset(  # a date has whole seconds only
        date, date + 1, before=response.sent_at, after=response.received_at
    )


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
