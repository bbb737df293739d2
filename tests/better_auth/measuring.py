"""What a configuration of Better Auth means for its tokens at the service."""

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import httpx2

from better_auth.options import MAX_AGE, Option, SignedIn, copy_of, in_browser
from better_auth.people import PASSWORD, People, Person, claims
from better_auth.programs import AuthServer, Deployment
from tasks_backend.testing.service import problem
from tasks_backend.testing.waiting import until

TASKS = "/api/v1/tasks"
NONE, UNTIL_MAX_AGE, SESSION = "none", "until `maxAge` is over", "still given"
NEW_PASSWORD = {"currentPassword": PASSWORD, "newPassword": f"another {PASSWORD}"}
IMPERSONATION = "end of an impersonation"
FORMS = {
    r"[A-Za-z0-9]{32}": "the user's id, 32 letters and digits",
    r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}": "the user's id, a UUID",
    r"[0-9]+": "the user's id, a number",
    r".+": "the user's id",
}

Act = Callable[[Person, httpx2.Client], httpx2.Response]
EVENTS: Mapping[str, Act] = {
    "sign-out": lambda user, _: user.browser.post("/sign-out", json={}),
    "new password": lambda user, _: user.browser.post("/change-password", json=NEW_PASSWORD),
    "new password, `revokeOtherSessions: true`": lambda user, _: user.browser.post(
        "/change-password", json={**NEW_PASSWORD, "revokeOtherSessions": True}
    ),
    "revocation of the sessions": lambda user, _: user.browser.post("/revoke-sessions", json={}),
    "ban": lambda user, administrator: administrator.post(
        "/admin/ban-user", json={"userId": user.id}
    ),
    "deletion by the user": lambda user, _: user.browser.post("/delete-user", json={}),
    "removal by an administrator": lambda user, administrator: administrator.post(
        "/admin/remove-user", json={"userId": user.id}
    ),
    IMPERSONATION: lambda _, administrator: administrator.post(
        "/admin/stop-impersonating", json={}
    ),
}


@dataclass(frozen=True)
class Measured:
    """What a token of this configuration is at the service, and until when new ones are given."""

    name: str
    answer: str
    user_id: str = ""
    lifetime: str = ""
    new_tokens: Mapping[str, str] = field(default_factory=dict)
    """By event. A token from before the event was still accepted after each."""


def measure(option: Option, deployment: Deployment, people: People) -> Measured:
    """Run both programs with this configuration and use its tokens."""
    with deployment.better_auth(options=option.source) as auth:
        settings = {name: text.format(auth=auth.mount) for name, text in option.settings.items()}
        with deployment.tasks_backend(BETTER_AUTH_URL=auth.url, **settings) as api:
            user = option.enter(people, auth)
            answer = user.holder.get("/token")
            if answer.status_code != 200:
                return Measured(option.name, f"none: `/token` answers {answer.status_code}")
            token = answer.json()["token"]
            created = _send(api, token)
            if created.status_code != 201:
                return Measured(option.name, f"{created.status_code} `{created.json()['code']}`")
            problem(_send(api, user.credential), 401, "invalid_token")
            lifetime = claims(token)["exp"] - claims(token)["iat"]
            return Measured(
                option.name,
                "201",
                _user_id(created.json()["user_id"], user.owner),
                f"{lifetime // 60} min" if lifetime < 7200 else f"{lifetime // 3600} h",
                _new_tokens(option, deployment, people, auth, api) if option.session else {},
            )


def _new_tokens(
    option: Option, deployment: Deployment, people: People, auth: AuthServer, api: str
) -> dict[str, str]:
    administrator = _administrator(deployment, people, auth)
    holders, result = {}, {}
    for event, act in EVENTS.items():
        began = time.time()
        if event != IMPERSONATION:
            user = option.enter(people, auth)
        elif option.enter is in_browser:
            user = _impersonated(people, auth, administrator)
        else:
            continue
        token = user.holder.get("/token").json()["token"]
        if act(user.owner, administrator).status_code != 200:
            continue  # a guest has no password
        assert _send(api, token).status_code == 201
        status = user.holder.get("/token").status_code
        assert time.time() < began + MAX_AGE, "too slow to see what is cached"
        result[event] = SESSION if status == 200 else NONE
        if status == 200:
            holders[event] = user.holder
    if "cookieCache" in option.options:
        over = time.time() + MAX_AGE
        until(lambda: time.time() > over, "the cached sessions to expire")
    for event, holder in holders.items():
        if holder.get("/token").status_code != 200:
            result[event] = UNTIL_MAX_AGE
    return result


def _administrator(deployment: Deployment, people: People, auth: AuthServer) -> httpx2.Client:
    person, browser = people.sign_up(auth, "Administrator"), people.browser(auth)
    statement = """UPDATE "user" SET role = 'admin' WHERE id::text = %(id)s"""
    deployment.execute(statement, id=person.id)
    body = {"email": person.email, "password": PASSWORD}  # again, with the role in its cookie
    assert browser.post("/sign-in/email", json=body).status_code == 200
    return browser


def _impersonated(people: People, auth: AuthServer, administrator: httpx2.Client) -> SignedIn:
    user = people.sign_up(auth)
    started = administrator.post("/admin/impersonate-user", json={"userId": user.id})
    assert started.status_code == 200, started.text
    return SignedIn(user, copy_of(people, auth, administrator), user.session_token)


def _user_id(sub: str, user: Person) -> str:
    if sub == user.email:
        return "the e-mail address"
    assert sub == user.id
    return next(form for pattern, form in FORMS.items() if re.fullmatch(pattern, sub))


def _send(api: str, token: str) -> httpx2.Response:
    headers = {"Authorization": f"Bearer {token}"}
    return httpx2.post(f"{api}{TASKS}", json={"title": "x"}, headers=headers, timeout=30)
