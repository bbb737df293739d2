"""All attacks of a siege, each with its bounds."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from siege.attacks import credentials, framing, reading, sizes, slowness
from siege.line import Line
from siege.service import REQUEST_TIMEOUT
from siege.target import Target


@dataclass(frozen=True)
class Attack:
    """One kind of attack: the attempt, attempts per second, and the limit of simultaneous
    connections. It may need another kind at the same time.
    """

    name: str
    attempt: Callable[[Line, Target], Awaitable[None]]
    rate: float
    sockets: int
    finding: str = "more"
    reads: bool = True
    beside: str | None = None
    crowds: bool = False
    """`sockets` is too low: it must exceed the number of places."""
    answer: str = ""
    """A status that some attempts must get; otherwise the attack did not work, or got no answer."""
    ends: float | None = None
    """Seconds after which the service closes such a connection (docs/reliability.md)."""

    def most(self, target: Target) -> int:
        """Return the maximum number of simultaneous connections."""
        return self.sockets + target.places if self.crowds else self.sockets


HEAD = 10.0  # seconds: the bounds of docs/reliability.md
UNREAD = REQUEST_TIMEOUT + 5.0  # the request's time until its response begins, and the client's
UNWANTED = 1.0
HALF_CLOSED = 2.0
CROWD = "uploads in many spellings"
ATTACKS = {
    attack.name: attack
    for attack in (
        Attack("requests in bodies", framing.hide_a_request, 10, 10, "A1"),
        Attack("long URLs", sizes.long_url, 30, 30, "A2"),
        Attack("made-up keys", credentials.unknown_key, 320, 400, "A3"),
        Attack("forged signatures", credentials.forged_signature, 40, 40, "A3", answer="401"),
        Attack(CROWD, credentials.spelled_upload, 150, 30, "A4", crowds=True, ends=REQUEST_TIMEOUT),
        Attack("many parameters", sizes.many_parameters, 4, 4, "A5", answer="422"),
        Attack("many fields", sizes.many_fields, 4, 4, "A5", answer="422"),
        Attack("many tags", sizes.many_tags, 4, 4, "A5"),
        Attack("unread pages", reading.unread_page, 4, 150, "A6", reads=False, ends=UNREAD),
        Attack("unread streams", reading.unread_stream, 2, 6, "A7", reads=False, ends=UNREAD),
        Attack("unread refusals", reading.unread_refusals, 1, 2, "A8", reads=False, beside=CROWD),
        Attack("silence", slowness.silence, 20, 60, "A9", ends=HEAD),
        Attack("half heads", slowness.half_head, 20, 60, "A9", ends=HEAD),
        Attack("one byte more", slowness.one_byte_more, 20, 40, "A9", answer="200", ends=HEAD),
        Attack(
            "refused, unfinished",
            slowness.refused_and_unfinished,
            10,
            40,
            "A9",
            answer="401",
            ends=UNWANTED,
        ),
        Attack(
            "refused, endless",
            slowness.refused_and_endless,
            1,
            2,
            "A9",
            answer="401",
            ends=UNWANTED,
        ),
        Attack("HEAD while busy", framing.head_while_busy, 5, 5, "A10", beside=CROWD),
        Attack("late bodies", framing.late_body, 10, 40, "A11", beside=CROWD),
        Attack("long headers", sizes.long_header, 2, 2, "A14"),
        Attack("half-closed", framing.half_close, 3, 10, "A15", answer="200", ends=HALF_CLOSED),
        Attack("resets", slowness.reset, 40, 20),
        Attack("slow heads", slowness.slow_head, 10, 20, ends=HEAD),
        Attack("slow bodies", slowness.slow_body, 10, 20, ends=REQUEST_TIMEOUT),
        Attack("tokens for others", credentials.foreign_token, 5, 5, "B2, B8"),
        Attack("keyed toggles", credentials.keyed_toggle, 10, 10, "B7", answer="200"),
    )
}
BLOCKED_LOG = "blocked log"
"""An attack on the process, not on its socket: the log reader stops (A12)."""
NAMES = (*ATTACKS, BLOCKED_LOG)


def with_companions(names: tuple[str, ...]) -> list[Attack]:
    """Return the attacks with these names, and the attacks they need."""
    chosen = [ATTACKS[name] for name in names if name in ATTACKS]
    needed = {attack.beside for attack in chosen if attack.beside} - {a.name for a in chosen}
    return chosen + [ATTACKS[name] for name in sorted(needed)]
