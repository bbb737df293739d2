"""Users who sign up at a real Better Auth and use its tokens at the service."""

import itertools
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Self

import httpx2
import jwt

from better_auth.programs import AuthServer
from tasks_backend.testing.service import User

PASSWORD = "correct horse battery staple"


@dataclass(frozen=True)
class Person:
    """A user with a session at Better Auth; `browser` has its cookie."""

    id: str
    email: str
    session_token: str
    browser: httpx2.Client
    clients: ExitStack

    def token(self) -> str:
        """A new token of Better Auth."""
        response = self.browser.get("/token")
        assert response.status_code == 200, response.text
        return str(response.json()["token"])

    def at(self, api: str, token: str | None = None) -> User:
        """The same user at the service, always with this token."""
        headers = {"Authorization": f"Bearer {token or self.token()}"}
        client = httpx2.Client(base_url=api, headers=headers, timeout=30)
        return User(self.id, self.clients.enter_context(client))


@dataclass
class People:
    """Signs users up, and closes their clients."""

    clients: ExitStack = field(default_factory=ExitStack)
    numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self.clients.close()

    def browser(self, auth: AuthServer) -> httpx2.Client:
        """A client without a session."""
        return self.clients.enter_context(
            httpx2.Client(base_url=auth.mount, headers={"Origin": auth.origin}, timeout=30)
        )

    def anonymous(self, auth: AuthServer) -> Person:
        """A new guest."""
        browser = self.browser(auth)
        response = browser.post("/sign-in/anonymous", json={})
        assert response.status_code == 200, response.text
        answer = response.json()
        user = answer["user"]
        return Person(user["id"], user["email"], answer["token"], browser, self.clients)

    def sign_up(
        self, auth: AuthServer, name: str = "Alice", browser: httpx2.Client | None = None
    ) -> Person:
        """A new user, signed in."""
        browser = browser or self.browser(auth)
        email = f"user{next(self.numbers)}@example.com"
        response = browser.post(
            "/sign-up/email", json={"name": name, "email": email, "password": PASSWORD}
        )
        assert response.status_code == 200, response.text
        answer = response.json()
        return Person(answer["user"]["id"], email, answer["token"], browser, self.clients)


def header(token: str) -> dict[str, Any]:
    return jwt.get_unverified_header(token)


def claims(token: str) -> dict[str, Any]:
    decoded: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return decoded
