"""Pages of listed origins may call and read everything; others nothing."""

import httpx2
import pytest

from tasks_backend import Settings, create_app
from tasks_backend.testing.service import User, problem, served

ALLOWED = "https://app.example.com"
EXPOSED = {"ETag", "Location", "Link", "X-Request-Id", "Retry-After", "Idempotency-Replayed"}


def preflight(client: httpx2.Client, origin: str, method: str, headers: str) -> httpx2.Response:
    return client.options(
        "/api/v1/tasks",
        headers={
            "Origin": origin,
            "Access-Control-Request-Method": method,
            "Access-Control-Request-Headers": headers,
        },
    )


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
def test_a_preflight_allows_every_method_and_header_of_the_api(
    anonymous: httpx2.Client, method: str
) -> None:
    wanted = "authorization, content-type, if-match, idempotency-key, x-request-id"
    response = preflight(anonymous, ALLOWED, method, wanted)
    assert response.status_code == 200
    assert response.headers["access-control-allow-origin"] == ALLOWED
    assert method in response.headers["access-control-allow-methods"]
    assert "access-control-allow-credentials" not in response.headers


@pytest.mark.parametrize(
    ("origin", "method", "headers"),
    [
        ("https://evil.example.com", "GET", "authorization"),
        ("http://app.example.com", "GET", "authorization"),
        ("https://app.example.com.evil.example", "GET", "authorization"),
        ("null", "GET", "authorization"),
        (ALLOWED, "TRACE", "authorization"),
        (ALLOWED, "GET", "x-other"),
    ],
)
def test_a_refused_preflight_is_a_problem_document(
    anonymous: httpx2.Client, origin: str, method: str, headers: str
) -> None:
    response = preflight(anonymous, origin, method, headers)
    problem(response, 400, "bad_request")
    if origin != ALLOWED:
        assert "access-control-allow-origin" not in response.headers


def test_only_listed_origins_can_read_answers(alice: User) -> None:
    for path in ("/api/v1/tasks", "/nothing", "/api/v1/tasks/x"):
        response = alice.client.get(path, headers={"Origin": ALLOWED})
        assert response.headers["access-control-allow-origin"] == ALLOWED
        exposed = response.headers["access-control-expose-headers"]
        assert {name.strip() for name in exposed.split(",")} == EXPOSED
        response = alice.client.get(path, headers={"Origin": "https://evil.example.com"})
        assert "access-control-allow-origin" not in response.headers


@pytest.mark.proves("US1-AC3")
def test_even_a_401_can_be_read_by_a_listed_origin(anonymous: httpx2.Client) -> None:
    response = anonymous.get("/api/v1/tasks", headers={"Origin": ALLOWED})
    problem(response, 401, "missing_token")
    assert response.headers["access-control-allow-origin"] == ALLOWED


def test_without_origins_no_browser_is_allowed(settings: Settings) -> None:
    with (
        served(create_app(settings.model_copy(update={"cors_origins": ()}))) as url,
        httpx2.Client(base_url=url) as client,
    ):
        problem(preflight(client, ALLOWED, "GET", "authorization"), 405, "method_not_allowed")
        response = client.get("/livez", headers={"Origin": ALLOWED})
        assert "access-control-allow-origin" not in response.headers
