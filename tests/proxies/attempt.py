"""One attack, and the answers to the next client on the same connection."""

import contextlib
import secrets
from dataclasses import dataclass

from support.answers import Answer

from proxies.form import Form, Names
from proxies.people import Person, Victim
from proxies.running import Running
from proxies.wire import Lost, Wire

PATIENCE = 0.4  # seconds to wait for an answer that may not come


@dataclass(frozen=True)
class Attempt:
    """The result of an attempt."""

    form: Form
    signed: bool
    """Whether the attacker had a token."""
    reached: bool
    """Whether the request reached the service; otherwise the proxy refused it."""
    shared: bool
    """Whether the victim's request used the same connection to the service."""
    findings: tuple[str, ...]

    @property
    def told(self) -> str:
        who = "with a token" if self.signed else "without a token"
        return f"{self.form.name} ({who}): {'; '.join(self.findings)}"


def attempt(running: Running, form: Form, attacker: Person, victim: Victim) -> Attempt:
    """Attack, then send the victim's requests."""
    names = Names(secrets.token_hex(6), attacker.credentials, victim.task["id"])
    upstream = running.upstream
    with Wire(running.port) as wire:
        answers = _attack(wire, form, names)
        kept = form.complete and len(answers) == len(form.methods) and not wire.ended()
        findings = _beyond(wire, form, victim, names)
        if not kept:
            wire.close()  # the proxy need not hold a connection to the service for it
        used = upstream.carrying(names.attack)
        if kept and form.buried and running.kind.configure is None:
            findings += _visit_on(wire, running, victim, names)
        else:
            findings += _visit(running, victim, names)
            if kept:
                wire.ended()
                findings += _beyond(wire, form, victim, names)
    if form.refused and any(answer.status < 300 for answer in answers):
        findings.append("it was done")
    if form.buried and upstream.served(names.hidden):
        findings.append("what hid in the body was served")
    if findings:
        upstream.cut()  # remaining bytes would be found again
    shared = any(f"{names.victim}1" in known.asked for known in used)
    return Attempt(form, bool(attacker.token), bool(used), shared, tuple(findings))


def _attack(wire: Wire, form: Form, names: Names) -> list[Answer]:
    """Send everything that is accepted, and read the answers to the openly sent requests."""
    answers: list[Answer] = []
    with contextlib.suppress(OSError):  # it may be refused before everything is sent
        wire.send(form.pieces(names))
    with contextlib.suppress(Lost, ValueError):
        answers.extend(wire.answer(method, PATIENCE) for method in form.methods)
    return answers


def _visit(running: Running, victim: Victim, names: Names) -> list[str]:
    """Send the victim's requests on a separate connection to the proxy."""
    with Wire(running.port) as wire:
        try:
            return victim.visit(wire, names.victim)
        except Lost as lost:
            return [f"the victim was not answered: {lost}"]


def _visit_on(wire: Wire, running: Running, victim: Victim, names: Names) -> list[str]:
    """Send the victim's requests on the attacker's connection, as a byte-forwarding proxy would."""
    try:
        return victim.visit(wire, names.victim)
    except Lost:  # the service has closed
        return _visit(running, victim, names)


def _beyond(wire: Wire, form: Form, victim: Victim, names: Names) -> list[str]:
    """Return the bytes after the answers to the openly sent requests."""
    findings = []
    if victim.sub.encode() in wire.received or names.victim.encode() in wire.received:
        findings.append("the attacker got an answer of the victim's")
    if form.buried and form.complete and wire.unread:
        findings.append(f"the attacker got one more answer: {wire.unread[:100]!r}")
    return findings
