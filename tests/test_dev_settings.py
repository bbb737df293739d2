"""`dev` has the settings of `serve`, with a database of its own, and accepts its own tokens too."""

from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tasks_backend import Settings, create_app
from tasks_backend.dev.app import build
from tasks_backend.dev.issuer import Issuer
from tasks_backend.dev.settings import load_settings, report
from tasks_backend.settings import SettingsError
from tasks_backend.testing.key_server import KeyServer
from tasks_backend.testing.service import problem, served
from tasks_backend.testing.signing import AUDIENCE, ISSUER, Signer

TASKS = "/api/v1/tasks"
PAGE = "http://localhost:3000"


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty directory, and no setting in the environment."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def issuer(tmp_path: Path) -> Issuer:
    issuer = Issuer(tmp_path)
    issuer.make_key()
    return issuer


@pytest.fixture
def with_better_auth(monkeypatch: pytest.MonkeyPatch, key_server: KeyServer) -> None:
    monkeypatch.setenv("JWT_ISSUER", ISSUER)
    monkeypatch.setenv("JWT_AUDIENCE", AUDIENCE)
    monkeypatch.setenv("JWKS_URL", key_server.url)


@pytest.fixture
def dev(database: str, issuer: Issuer) -> Iterator[httpx2.Client]:
    """The application of `dev`, with the environment as it is."""
    app = build(load_settings(database), issuer)
    with served(app) as url, httpx2.Client(base_url=url, timeout=30) as client:
        yield client


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.proves("FR-009")
def test_better_auths_tokens_are_accepted_beside_development_tokens(
    with_better_auth: None, dev: httpx2.Client, issuer: Issuer, signer: Signer, tmp_path: Path
) -> None:
    for token in (issuer.token("alice"), signer.token("alice")):
        assert dev.get(TASKS, headers=bearer(token)).status_code == 200
    other = Issuer(tmp_path / "other")
    (tmp_path / "other").mkdir()
    other.make_key()
    stranger = Signer(kid=signer.kid)
    for token in (other.token("alice"), stranger.token("alice")):
        problem(dev.get(TASKS, headers=bearer(token)), 401, "invalid_token")


def test_each_issuer_vouches_only_for_itself(
    with_better_auth: None, dev: httpx2.Client, signer: Signer
) -> None:
    origin = "http://tasks-backend.localhost"
    token = signer.token("alice", iss=origin, aud=origin)
    problem(dev.get(TASKS, headers=bearer(token)), 401, "invalid_token")


def test_without_better_auth_only_development_tokens_are_accepted(
    dev: httpx2.Client, issuer: Issuer, signer: Signer
) -> None:
    assert dev.get(TASKS, headers=bearer(issuer.token("alice"))).status_code == 200
    problem(dev.get(TASKS, headers=bearer(signer.token("alice"))), 401, "invalid_token")
    problem(dev.get(TASKS, headers=bearer(issuer.token("alice", ttl=-60))), 401, "expired_token")


@pytest.mark.proves("SC-002")
def test_the_settings_of_dev_make_no_other_application_accept_its_tokens(
    with_better_auth: None, database: str, issuer: Issuer
) -> None:
    app = create_app(load_settings(database))
    with served(app) as url:
        answer = httpx2.get(url + TASKS, headers=bearer(issuer.token("alice")))
    problem(answer, 401, "invalid_token")


@pytest.mark.parametrize("url", ["app.example.com", "http://app.example.com", "https://"])
def test_an_invalid_better_auth_url_is_refused(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("BETTER_AUTH_URL", url)
    with pytest.raises(SettingsError, match=r"BETTER_AUTH_URL|JWKS_URL"):
        load_settings("postgresql://a@b/c")


def test_pages_of_next_dev_may_call_the_api(dev: httpx2.Client) -> None:
    asked = {"Origin": PAGE, "Access-Control-Request-Method": "POST"}
    answer = dev.options(TASKS, headers=asked)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, PAGE)


def test_dev_says_which_settings_it_takes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def lines() -> list[str]:
        return report(load_settings("postgresql://a@b/c"))

    assert lines() == []
    monkeypatch.setenv("LOG_LEVEL", "debug")
    assert lines() == ["Settings taken from the environment and .env: LOG_LEVEL"]
    monkeypatch.setenv("JWT_ISSUER", "https://a.example.com")
    assert lines()[1:] == ["Not taken: JWT_ISSUER (set BETTER_AUTH_URL, or all three)"]
    (tmp_path / ".env").write_text(
        f"BETTER_AUTH_URL={PAGE}\nDATABASE_URL=postgresql://x@y/z\nUNKNOWN=1\nCORS_ORIGINS=\n"
    )
    assert lines() == [
        "Settings taken from the environment and .env: BETTER_AUTH_URL, JWT_ISSUER, LOG_LEVEL",
        "Not taken: DATABASE_URL (`dev` has a PostgreSQL of its own)",
    ]
