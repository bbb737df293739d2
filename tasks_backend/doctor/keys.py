"""The published keys: can they be fetched, and which of them may vouch for a caller?"""

import json
import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from logging.handlers import BufferingHandler
from urllib.parse import urlsplit

from jwt import PyJWK

from tasks_backend.auth.key_set import KeySet
from tasks_backend.auth.keys import NotAKeySet, parse_key_set
from tasks_backend.doctor.findings import Finding, counted, note, ok, problem
from tasks_backend.doctor.key_endpoint import Answer, Unusable, ask, public_address
from tasks_backend.errors import AuthUnavailable, InvalidToken
from tasks_backend.settings import Settings

FETCH_TIMEOUT = 5.0  # seconds
_NOBODY = "tasks-backend-doctor"  # an id that no key has: asking for it is asking the endpoint
_LOGGER = logging.getLogger("tasks_backend.auth")


@dataclass(frozen=True)
class Published:
    """What is known of the published keys, to explain a verdict by."""

    is_known: bool = False
    usable: Mapping[str, PyJWK] = field(default_factory=dict)
    ids: frozenset[str] = frozenset()
    """The ids of all members, also of those that are not used."""
    clock_ahead: float | None = None


async def examine(settings: Settings, key_set: KeySet) -> tuple[list[Finding], Published]:
    """Return what was found with the service's own key set, and what is published."""
    url, check = settings.keys_url, "keys.endpoint"
    where = public_address(url)
    timeout = min(settings.jwks_timeout, FETCH_TIMEOUT)
    with _overheard():
        serves = await _answers(key_set)
    try:
        answer = await ask(url, timeout=timeout)
        with _overheard() as said:
            usable = parse_key_set(answer.body, settings.jwt_algorithms)
    except Unusable as error:
        return [problem(check, f"{where} is of no use: {error}.")], Published()
    except NotAKeySet as error:
        reason = f"what it sends is no key set ({error}): is that the right address?"
        return [problem(check, f"{where} is of no use: {reason}")], Published()
    dropped = [message.rpartition(": ")[2] for message in said]
    endpoint = _endpoint(settings, where, answer, serves=serves)
    published = Published(True, usable, _ids(answer.body), answer.clock_ahead)
    return [endpoint, _usable(usable, dropped)], published


async def _answers(key_set: KeySet) -> bool:
    """Whether the service gets an answer, which says that it has no key of that id."""
    try:
        await key_set.key(_NOBODY)
    except AuthUnavailable:
        return False
    except InvalidToken:
        return True
    return True


def _endpoint(settings: Settings, where: str, answer: Answer, *, serves: bool) -> Finding:
    check = "keys.endpoint"
    if not serves:
        return problem(check, f"{where} answers only now and then: look at the auth server.")
    message = f"{where} answers in {max(1, round(answer.seconds * 1000))} ms"
    if settings.jwks_allow_http and urlsplit(where).scheme == "http":
        return note(check, f"{message}, over plain http: whoever is on the way can forge tokens.")
    return ok(check, f"{message}.")


def _usable(usable: Mapping[str, PyJWK], dropped: list[str]) -> Finding:
    check = "keys.usable"
    reasons = "; ".join(
        f"{reason} ({number})" if number > 1 else reason
        for reason, number in Counter(dropped).items()
    )
    if usable:
        algorithms = ", ".join(sorted({str(key.algorithm_name) for key in usable.values()}))
        message = f"{counted(len(usable), 'usable key')} ({algorithms})."
        if dropped:
            return note(check, f"{message} {counted(len(dropped), 'key')} not used: {reasons}.")
        return ok(check, message)
    if dropped:
        return problem(
            check,
            f"None of {counted(len(dropped), 'published key')} can be used: {reasons}."
            " Correct JWT_ALGORITHMS, or Better Auth's jwks options.",
        )
    return note(
        check,
        "No key is published, which is normal before the first token and after a long idle time:"
        " Better Auth makes one with the next token.",
    )


def _ids(body: bytes) -> frozenset[str]:
    members = json.loads(body.decode("utf-8-sig"))["keys"]
    found = (member.get("kid") for member in members if isinstance(member, dict))
    return frozenset(kid for kid in found if isinstance(kid, str))


@contextmanager
def _overheard() -> Iterator[list[str]]:
    """Give what the service's key set would log meanwhile, and keep it out of the output."""
    said: list[str] = []
    handler = BufferingHandler(capacity=1024)
    propagated, _LOGGER.propagate = _LOGGER.propagate, False
    _LOGGER.addHandler(handler)
    try:
        yield said
    finally:
        _LOGGER.removeHandler(handler)
        _LOGGER.propagate = propagated
        said += [record.getMessage() for record in handler.buffer]
