"""The data of the attacks: the service's address, and valid and invalid tokens."""

import secrets
from dataclasses import dataclass

from support.forgery import Forger, base64url, segment

from tasks_backend.testing.signing import AUDIENCE, Signer

TASKS = "/api/v1/tasks"
LIFETIME = 86_400  # seconds; longer than any siege
ATTACKERS = ("hoarder", "crowd", "smuggler", "dawdler", "asker", "leaver")


@dataclass(frozen=True)
class Target:
    """The service as known to the attackers. It can be pickled for another process."""

    port: int
    places: int
    """The default limit of concurrent requests, over all workers."""
    tokens: dict[str, str]
    """Valid tokens of attackers, who are also users."""
    forged: tuple[str, ...]
    """Well-formed tokens with a known key id and a wrong signature."""
    foreign: tuple[str, ...]
    """Tokens of the real signer for another purpose, or without a valid subject."""
    note: str
    """The path of a task with the longest description, of the user with the longest tasks."""

    def unknown_key(self) -> str:
        """Return a token with a new, unknown key id."""
        _, payload, signature = self.tokens["asker"].split(".")
        return (
            f"{segment({'alg': 'EdDSA', 'kid': secrets.token_urlsafe(24)})}.{payload}.{signature}"
        )


def token(signer: Signer, name: str) -> str:
    """Return a valid token of this user that is valid longer than the siege."""
    forger = Forger(AUDIENCE, {"EdDSA": signer})
    return forger.token(sub=name, exp=forger.now + LIFETIME)


def forged(signer: Signer) -> tuple[str, ...]:
    """Return tokens whose signature is a stranger's or random bytes."""
    forger = Forger(AUDIENCE, {"EdDSA": signer})
    message = forger.token().rpartition(".")[0]
    noise = [f"{message}.{base64url(secrets.token_bytes(64))}" for _ in range(20)]
    return (*noise, *(forger.by_stranger() for _ in range(20)))


def foreign(signer: Signer) -> tuple[str, ...]:
    """Return tokens of the real signer that are not user tokens (design, section 2)."""
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
