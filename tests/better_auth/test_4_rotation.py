"""Key rotation under load, and missing keys."""

import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from threading import Event

import pytest

from better_auth.log import Say
from better_auth.people import People, Person, claims, header
from better_auth.programs import Deployment, free_port
from tasks_backend.testing.service import User, problem
from tasks_backend.testing.waiting import until

TASKS = "/api/v1/tasks"
VISITORS = 6
KEYS = 8  # the number of keys that must have signed before the load ends
TIMEOUT = 120  # timeout in seconds for waits of a few seconds
MARGIN = 3  # seconds before a token's expiry at which a client fetches the next one
COOLDOWN = 2  # seconds between two fetches of the key set: JWKS_COOLDOWN's default


@dataclass
class Visitor:
    """A user whose page sends requests all the time, and renews its token before it expires."""

    person: Person
    user: User
    expires: float = 0
    keys: set[str] = field(default_factory=set)
    answers: Counter[int] = field(default_factory=Counter)
    slowest: float = 0

    def visit(self, stop: Event) -> None:
        while not stop.is_set():
            if time.time() > self.expires - MARGIN:
                self._renew()
            started = time.monotonic()
            if self.answers.total() % 5:
                response = self.user.client.get(TASKS, params={"limit": 5})
            else:
                response = self.user.client.post(TASKS, json={"title": "Buy milk"})
            self.slowest = max(self.slowest, time.monotonic() - started)
            self.answers[response.status_code] += 1

    def _renew(self) -> None:
        token = self.person.token()
        self.expires = claims(token)["exp"]
        self.keys.add(header(token)["kid"])
        self.user.client.headers["Authorization"] = f"Bearer {token}"


@contextmanager
def load(visitors: list[Visitor]) -> Iterator[None]:
    """Run all visitors at once; an error of one of them is raised at the end."""
    stop = Event()
    with ThreadPoolExecutor(len(visitors)) as pool:
        visits = [pool.submit(visitor.visit, stop) for visitor in visitors]
        try:
            yield
        finally:
            stop.set()
    for visit in visits:
        visit.result()


@pytest.mark.proves("FR-008", "FR-009")
def test_keys_rotate_under_load_without_a_refused_request(
    deployment: Deployment, people: People, say: Say
) -> None:
    started = time.monotonic()
    with (
        deployment.better_auth("rotating") as auth,
        deployment.tasks_backend(BETTER_AUTH_URL=auth.url) as api,
    ):
        person = people.sign_up(auth, "Keeper")
        token = person.token()
        keeper = person.at(api, token)
        visitors = []
        for _ in range(VISITORS):
            person = people.sign_up(auth)
            visitors.append(Visitor(person, person.at(api)))
        kept = Counter[int]()

        def first_key_is_retired() -> bool:
            """Until then, every request with the kept token must be accepted."""
            status = keeper.client.get(TASKS).status_code
            published = header(token)["kid"] in auth.key_ids()
            if published:
                kept[status] += 1
            return not published

        def kept_token_is_refused() -> bool:
            return keeper.client.get(TASKS).status_code == 401

        def keys() -> set[str]:
            return set().union(*(visitor.keys for visitor in visitors))

        with load(visitors):
            begun = time.monotonic()
            until(first_key_is_retired, "the first key to be retired", pause=0.1)
            retired = time.monotonic()
            until(kept_token_is_refused, "its tokens to be refused", pause=0.1)
            refused = time.monotonic()
            until(lambda: len(keys()) >= KEYS, "enough keys to have signed", pause=0.1)
        ended = time.monotonic()

        answers = sum((visitor.answers for visitor in visitors), kept)
        let_in = answers[200] + answers[201]
        say(
            f"{answers.total()} requests of {VISITORS + 1} people in {ended - begun:.0f} s, tokens"
            f" of {len(keys())} keys: {answers[200]} x 200, {answers[201]} x 201,"
            f" {answers.total() - let_in} refused"
        )
        assert answers.total() == let_in
        slowest = max(visitor.slowest for visitor in visitors)
        say(f"the slowest request took {slowest:.2f} s")
        assert auth.key_sets_served - 1 <= (ended - started) / COOLDOWN
        say(f"the service asked for the key set {auth.key_sets_served} times")
        problem(keeper.client.get(TASKS), 401, "invalid_token")
        say(
            f"the first key was retired after {retired - begun:.1f} s; its tokens, good for an"
            f" hour, were refused {refused - retired:.1f} s later: 401 invalid_token"
        )


def test_an_empty_key_set_of_an_idle_server_causes_no_error(
    deployment: Deployment, people: People, say: Say
) -> None:
    other = replace(deployment, api_port=free_port())
    with (
        deployment.better_auth("rotating") as auth,
        deployment.tasks_backend(BETTER_AUTH_URL=auth.url) as warm,
    ):
        keeper = people.sign_up(auth, "Keeper")
        old = keeper.token()
        assert keeper.at(warm, old).create()["user_id"] == keeper.id
        until(lambda: auth.key_ids() == [], "the key set to be empty", pause=0.1)
        say('idle until the key set was {"keys": []}')
        with other.tasks_backend(BETTER_AUTH_URL=auth.url) as cold:
            status = keeper.at(warm, old).client.get(TASKS).status_code
            assert status in {200, 401}
            say(f"a service that knew the key, the old token: {status}")
            problem(keeper.at(cold, old).client.get(TASKS), 401, "invalid_token")
            say("a service that starts now, the old token: 401 invalid_token")
            new = keeper.token()
            for api in (warm, cold):
                assert keeper.at(api, new).client.get(TASKS).status_code == 200
            say("the next token: 200 at both")
