"""What the attacks are given: where the service is, and tokens good and bad."""

import secrets
from dataclasses import dataclass

from support.forgery import Forger, base64url, segment
from support.signing import AUDIENCE, Signer

TASKS = "/api/v1/tasks"
LIFETIME = 86_400  # seconds; longer than any siege
ATTACKERS = ("hoarder", "crowd", "smuggler", "dawdler", "asker", "leaver")


@dataclass(frozen=True)
class Target:
    """The service, as those who attack it know it. It can be sent to another process."""

    port: int
    places: int
    """How many requests all workers together take at once, by default."""
    tokens: dict[str, str]
    """Good tokens of attackers, who are users as well."""
    forged: tuple[str, ...]
    """Well-formed tokens under a known key id that somebody else signed."""
    foreign: tuple[str, ...]
    """Tokens of the real signer that were issued for something else, or name nobody."""
    note: str
    """The path of a task of the hoarder with the longest description."""

    def unknown_key(self) -> str:
        """Return a token under a key id that nobody has seen before."""
        _, payload, signature = self.tokens["asker"].split(".")
        return (
            f"{segment({'alg': 'EdDSA', 'kid': secrets.token_urlsafe(24)})}.{payload}.{signature}"
        )


def token(signer: Signer, name: str) -> str:
    """Return a good token of this user that outlives the siege."""
    forger = Forger(AUDIENCE, {"EdDSA": signer})
    return forger.token(sub=name, exp=forger.now + LIFETIME)


def forged(signer: Signer) -> tuple[str, ...]:
    """Return tokens whose signature is a stranger's, or noise."""
    forger = Forger(AUDIENCE, {"EdDSA": signer})
    message = forger.token().rpartition(".")[0]
    noise = [f"{message}.{base64url(secrets.token_bytes(64))}" for _ in range(20)]
    return (*noise, *(forger.by_stranger() for _ in range(20)))


def foreign(signer: Signer) -> tuple[str, ...]:
    """Return tokens of the real signer that must not count as a person's own (design, section 2)."""
    forger = Forger(AUDIENCE, {"EdDSA": signer})
    exp = forger.now + LIFETIME
    return (
        forger.token(header={"typ": "at+jwt"}, exp=exp),
        forger.token(client_id="mcp", scope="openid", exp=exp),
        forger.token(nonce="n", acr="1", exp=exp),
        forger.token(cnf={"jkt": "x"}, exp=exp),
        forger.token(sub=" ", exp=exp),
        forger.token(sub="alice ", exp=exp),
    )
