"""Other common configurations of Better Auth, each with the real service."""

import json

import httpx2
import pytest

from better_auth.log import Say
from better_auth.people import People, claims, header
from better_auth.programs import Deployment
from tasks_backend.testing.service import problem

TASKS = "/api/v1/tasks"
MAX_TOKEN = 8 * 1024
FINAL_SLASH = (1, 6, 34)  # the first tested version that takes it


@pytest.mark.proves("FR-008")
@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
def test_only_the_base_url_is_needed_for(
    deployment: Deployment, people: People, say: Say, algorithm: str
) -> None:
    with (
        deployment.better_auth(algorithm.lower()) as auth,
        deployment.tasks_backend(BETTER_AUTH_URL=auth.url) as api,
    ):
        alice = people.sign_up(auth)
        token = alice.token()
        assert header(token)["alg"] == algorithm
        assert alice.at(api, token).create()["user_id"] == alice.id
        say(f"a token of {len(token)} bytes, alg {algorithm}: 201")


@pytest.mark.parametrize("path", ["/", "/api/auth", "/identity/v1/"])
def test_only_the_base_url_is_needed_for_a_base_url_with_the_path(
    deployment: Deployment, people: People, say: Say, path: str, version: tuple[int, ...]
) -> None:
    if path == "/identity/v1/" and version < FINAL_SLASH:
        pytest.skip("a base URL with a path and a final slash: Better Auth answers 404")
    with (
        deployment.better_auth(path=path) as auth,
        deployment.tasks_backend(BETTER_AUTH_URL=auth.url) as api,
    ):
        alice = people.sign_up(auth)
        token = alice.token()
        assert (claims(token)["iss"], claims(token)["aud"]) == (auth.origin, auth.origin)
        assert alice.at(api, token).create()["user_id"] == alice.id
        say(
            f"BETTER_AUTH_URL=http://host{path}, keys at {auth.mount.removeprefix(auth.origin)}/jwks: 201"
        )


def test_issuer_audience_and_the_keys_address_can_each_be_set(
    deployment: Deployment, people: People, say: Say
) -> None:
    with deployment.better_auth("explicit", path="/identity/v1") as auth:
        alice = people.sign_up(auth)
        token = alice.token()
        issuer, audience = claims(token)["iss"], claims(token)["aud"]
        assert (issuer, audience) == ("https://id.example.com/", ["tasks-api", "billing-api"])
        keys = f"{auth.mount}/.well-known/jwks.json"
        settings = {"JWT_ISSUER": issuer, "JWT_AUDIENCE": "tasks-api", "JWKS_URL": keys}
        with deployment.tasks_backend(**settings) as api:
            assert alice.at(api, token).create()["user_id"] == alice.id
            say(f"iss {issuer}, aud {audience}, keys at a jwksPath: 201")


def test_an_email_address_as_subject_is_the_user_id(
    deployment: Deployment, people: People, say: Say
) -> None:
    with (
        deployment.better_auth("email") as auth,
        deployment.tasks_backend(BETTER_AUTH_URL=auth.url) as api,
    ):
        alice = people.sign_up(auth)
        assert alice.at(api).create()["user_id"] == alice.email
        say("getSubject: user.email: 201, and user_id is the address")


def test_a_long_name_can_make_a_token_too_large(
    deployment: Deployment, people: People, say: Say
) -> None:
    with deployment.tasks_backend(BETTER_AUTH_URL=deployment.auth_origin) as api:
        with deployment.better_auth("defaults") as auth:
            short = people.sign_up(auth, "x" * 100)
            room = (MAX_TOKEN - len(short.token())) * 3 // 4  # base64 makes four letters of three
            for extra, status in ((room - 8, 200), (room + 8, 401)):
                person = people.sign_up(auth, "x" * (100 + extra))
                token = person.token()
                answer = person.at(api, token).client.get(TASKS)
                assert answer.status_code == status
                say(
                    f"jwt() as it comes, a name of {100 + extra} letters: {len(token)} bytes, {status}"
                )
            problem(answer, 401, "invalid_token")
        with deployment.better_auth() as auth:
            token = person.token()
            assert person.at(api, token).create()["user_id"] == person.id
            say(f"definePayload: () => ({{}}), the same person: {len(token)} bytes, 201")


@pytest.mark.proves("FR-009", "FR-017", "SC-002")
def test_tokens_for_oauth_clients_are_refused(deployment: Deployment, say: Say) -> None:
    """Tokens of the OAuth provider have our issuer, our audience and a user's id."""
    with deployment.better_auth() as auth:
        issued = json.loads(deployment.run("node", "driver/clients.mjs"))
        assert (issued["tokenPath"], issued["setAuthJwt"]) == (404, False)
        say("the OAuth provider as its documentation has it: /token 404, no set-auth-jwt")
        ours, identity = {"BETTER_AUTH_URL": auth.url}, issued["identity"]
        with deployment.tasks_backend(**ours) as api:
            for name in ("access", "machine"):
                problem(_get_tasks(api, issued[name]), 401, "invalid_token")
                found = deployment.doctor(issued[name], **ours)
                assert found["token.verdict"].endswith("401 invalid_token.")
                if header(issued[name]).get("typ"):  # from 1.7 on
                    assert "at+jwt, an access token" in found["token.type"]
                assert "azp, " in found["token.purpose"]
                assert "scope" in found["token.purpose"]
                say(f"{name} token, with our audience: 401, and doctor says why")
            for name in ("own", "shown"):
                assert _get_tasks(api, issued[name]).status_code == 200
            assert issued["signedOut"] == 401
            say("auth.api.getToken on the server, and the documented route for it: 200")
        for_client = {**ours, "JWT_AUDIENCE": claims(identity)["aud"]}
        with deployment.tasks_backend(**for_client) as api:
            problem(_get_tasks(api, identity), 401, "invalid_token")
            found = deployment.doctor(identity, **for_client)
            for name in ("acr", "auth_time"):
                assert name in found["token.purpose"]
            say("ID token, JWT_AUDIENCE the client's id: 401, and doctor says why")


def _get_tasks(api: str, token: str) -> httpx2.Response:
    return httpx2.get(f"{api}{TASKS}", headers={"Authorization": f"Bearer {token}"}, timeout=30)
