"""No request's bytes are read as part of another, with any proxy before the service."""

import re

from support.markdown import Row

from proxies.attempt import attempt
from proxies.catalogue import attacks
from proxies.form import Content, Form, Names, half, length, request, whole
from proxies.people import Person, Victim
from proxies.report import row
from proxies.running import Running

LEAST_SHARED = 20  # forms tried with a victim on the attacker's connection


def test_no_request_is_read_as_part_of_another(
    running: Running, victim: Victim, user: Person, report: list[Row]
) -> None:
    nobody = Person("", "")
    attempts = [
        attempt(running, form, user if signed else nobody, victim) for form, signed in attacks()
    ]
    report.append(row(running.kind, attempts))
    found = [made.told for made in attempts if made.findings]
    assert not found, "\n".join(found)
    victim.look()
    assert victim.version == victim.toggled + 1 == len(attempts) + 1
    shared = {made.form.name for made in attempts if made.shared}
    assert len(shared) >= LEAST_SHARED or not running.shares


def test_a_hidden_request_is_found_if_the_length_is_ignored(
    running: Running, victim: Victim, user: Person
) -> None:
    """The check can fail: the defect is injected between proxy and service."""
    forms = [_with_body(content) for content in (whole, half)]
    running.upstream.alter = _without_length
    try:
        attempts = [attempt(running, form, user, victim) for form in forms]
    finally:
        running.upstream.alter = bytes
        running.upstream.cut()
    assert any(made.findings for made in attempts) == running.shares


def _with_body(content: Content) -> Form:
    def pieces(names: Names) -> list[bytes]:
        body = content(names)
        return [request(names, "POST", length(body)) + body]

    return Form(content.__name__, pieces, buried=True)


def _without_length(data: bytes) -> bytes:
    """Hide the length of an attacker's request from the service."""
    if b"attack-" not in data:
        return data
    return re.sub(rb"(?i)content-length", b"Content-Lxngth", data)


def test_the_connection_to_the_service_is_shared(
    running: Running, victim: Victim, user: Person
) -> None:
    form = Form("a list", lambda names: [request(names, "GET")], ("GET",), buried=True)
    made = attempt(running, form, user, victim)
    assert made.reached
    assert made.findings == ()
    assert made.shared == running.shares
