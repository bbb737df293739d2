"""One attack, and what the next one who asks on the same connection got."""

import contextlib
import secrets
from dataclasses import dataclass

from proxies.form import Form, Names
from proxies.people import Person, Victim
from proxies.running import Running
from proxies.wire import Answer, Lost, Wire

PATIENCE = 0.4  # seconds for an answer that may never come


@dataclass(frozen=True)
class Attempt:
    """What came of it."""

    form: Form
    signed: bool
    """Whether the attacker had a token."""
    reached: bool
    """Whether the service was asked; otherwise the proxy refused."""
    shared: bool
    """Whether the victim's request came on the same connection to the service."""
    findings: tuple[str, ...]

    @property
    def told(self) -> str:
        who = "with a token" if self.signed else "without a token"
        return f"{self.form.name} ({who}): {'; '.join(self.findings)}"


def attempt(running: Running, form: Form, attacker: Person, victim: Victim) -> Attempt:
    """Attack, then ask as the victim."""
    names = Names(secrets.token_hex(6), attacker.credentials, victim.task["id"])
    upstream = running.upstream
    with Wire(running.port) as wire:
        answers = _attack(wire, form, names)
        kept = form.complete and len(answers) == len(form.methods) and not wire.ended()
        findings = _beyond(wire, form, victim, names)
        if not kept:
            wire.close()  # the proxy need not keep a connection to the service for it
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
        upstream.cut()  # what is left in them would be found again
    shared = any(f"{names.victim}1" in known.asked for known in used)
    return Attempt(form, bool(attacker.token), bool(used), shared, tuple(findings))


def _attack(wire: Wire, form: Form, names: Names) -> list[Answer]:
    """Send everything, as far as it is taken, and read the answers to what was sent openly."""
    answers: list[Answer] = []
    with contextlib.suppress(OSError):  # it may be refused before everything is sent
        wire.send(form.pieces(names))
    with contextlib.suppress(Lost, ValueError):
        answers.extend(wire.answer(method, PATIENCE) for method in form.methods)
    return answers


def _visit(running: Running, victim: Victim, names: Names) -> list[str]:
    """Ask as the victim on a connection of the victim's own to the proxy."""
    with Wire(running.port) as wire:
        try:
            return victim.visit(wire, names.victim)
        except Lost as lost:
            return [f"the victim was not answered: {lost}"]


def _visit_on(wire: Wire, running: Running, victim: Victim, names: Names) -> list[str]:
    """Ask as the victim on the attacker's connection, as a proxy would that passes on bytes."""
    try:
        return victim.visit(wire, names.victim)
    except Lost:  # the service has hung up
        return _visit(running, victim, names)


def _beyond(wire: Wire, form: Form, victim: Victim, names: Names) -> list[str]:
    """Return what the attacker got beyond the answers to what was sent openly."""
    findings = []
    if victim.sub.encode() in wire.received or names.victim.encode() in wire.received:
        findings.append("the attacker got an answer of the victim's")
    if form.buried and form.complete and wire.unread:
        findings.append(f"the attacker got one more answer: {wire.unread[:100]!r}")
    return findings
