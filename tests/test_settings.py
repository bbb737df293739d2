"""The settings: accepted forms, rejected values and their messages."""

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tasks_backend import Settings, SettingsError
from tasks_backend.settings import DatabaseSettings, load

URL = "postgresql://user:p4ss@host/database"
GOOD: dict[str, Any] = {"database_url": URL, "better_auth_url": "https://app.example.com"}
NEON = (
    "neondb_owner:p4ss@ep-cool-darkness-123456-pooler.us-east-2.aws.neon.tech/neondb"
    "?sslmode=require&channel_binding=require"
)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)


def settings(**changed: Any) -> Settings:
    return Settings(**{**GOOD, **changed})


def refusal(**changed: Any) -> list[str]:
    with pytest.raises(SettingsError) as failure:
        load(**{**GOOD, **changed})
    assert "p4ss" not in str(failure.value)
    return str(failure.value).splitlines()


@pytest.mark.parametrize(
    "scheme",
    ["postgres", "postgresql", "postgresql+psycopg2", "postgresql+psycopg", "postgresql+asyncpg"],
)
def test_urls_of_neon_heroku_and_sqlalchemy_are_accepted(scheme: str) -> None:
    assert settings(database_url=f"{scheme}://{NEON}").database_url == f"postgresql://{NEON}"


def test_libpq_connection_strings_are_accepted() -> None:
    assert settings(database_url="host=/run dbname=tasks").database_url == "host=/run dbname=tasks"


@pytest.mark.parametrize(
    "url",
    [
        "nonsense",
        "mysql://u:p4ss@h/d",
        "postgresql://u:p4ss@h:port/d",
        "http://x",
        "postgresql://u:p4ss@h/d?sslmod=require",
    ],
)
def test_an_invalid_database_url_is_refused_without_repeating_it(url: str) -> None:
    (line,) = refusal(database_url=url)
    assert re.match("DATABASE_URL: (is no PostgreSQL URL: it must|has a port|has the par)", line)


def test_migrations_use_the_direct_address_if_there_is_one() -> None:
    assert settings().migration_url == URL
    direct = "postgresql://user:p4ss@direct/database"
    assert settings(database_url_unpooled=direct).migration_url == direct


@pytest.mark.parametrize(
    ("url", "origin", "keys"),
    [
        ("https://app.example.com", "https://app.example.com", "/api/auth/jwks"),
        ("https://app.example.com/", "https://app.example.com", "/api/auth/jwks"),
        ("https://APP.example.com:443", "https://app.example.com", ":443/api/auth/jwks"),
        ("https://app.example.com:8443", "https://app.example.com:8443", ":8443/api/auth/jwks"),
        ("http://localhost:3000", "http://localhost:3000", ":3000/api/auth/jwks"),
        ("https://bücher.example", "https://xn--bcher-kva.example", ".example/api/auth/jwks"),
        ("http://[::1]:3000", "http://[::1]:3000", ":3000/api/auth/jwks"),
        ("https://app.example.com/auth", "https://app.example.com", "/auth/jwks"),
    ],
)
def test_everything_about_tokens_follows_from_better_auths_address(
    url: str, origin: str, keys: str
) -> None:
    known = settings(better_auth_url=url)
    assert (known.issuer, known.audience) == (origin, origin)
    assert known.keys_url.endswith(keys)


NEON_AUTH = "https://ep-x.neonauth.eu-central-1.aws.neon.tech/neondb/auth"
NEON_KEYS = f"{NEON_AUTH}/.well-known/jwks.json"


@pytest.mark.parametrize(
    ("changed", "keys"),
    [
        ({"neon_auth_base_url": NEON_AUTH}, NEON_KEYS),
        ({"neon_auth_base_url": f"{NEON_AUTH}/\n"}, NEON_KEYS),
        ({"better_auth_url": NEON_AUTH}, NEON_KEYS),
        ({"neon_auth_base_url": NEON_AUTH, "neon_auth_jwks_url": "https://k/a"}, "https://k/a"),
        ({"neon_auth_base_url": NEON_AUTH, "jwks_url": "https://k/b"}, "https://k/b"),
    ],
)
def test_neons_managed_better_auth_works_from_what_neon_gives(
    changed: dict[str, str], keys: str
) -> None:
    known = settings(**{"better_auth_url": None, **changed})
    origin = "https://ep-x.neonauth.eu-central-1.aws.neon.tech"
    assert (known.issuer, known.audience, known.keys_url) == (origin, origin, keys)


def test_neons_variables_count_only_without_better_auths_address() -> None:
    known = settings(neon_auth_base_url=NEON_AUTH, neon_auth_jwks_url=NEON_KEYS)
    assert known.issuer == "https://app.example.com"
    assert known.keys_url == "https://app.example.com/api/auth/jwks"
    elsewhere = settings(better_auth_url="https://neon.tech.example.com/neondb/auth")
    assert elsewhere.keys_url == "https://neon.tech.example.com/neondb/auth/jwks"
    alone = {"neon_auth_jwks_url": NEON_KEYS, "jwt_issuer": "a", "jwt_audience": "b"}
    assert settings(better_auth_url=None, **alone).keys_url == NEON_KEYS


def test_each_token_setting_can_be_overridden() -> None:
    known = settings(
        better_auth_url=None,
        jwt_issuer="https://a/",
        jwt_audience="tasks",
        jwks_url="https://c/keys",
    )
    assert (known.issuer, known.audience, known.keys_url) == (
        "https://a/",
        "tasks",
        "https://c/keys",
    )


@pytest.mark.proves("SC-007")
def test_all_missing_settings_are_named_at_once() -> None:
    with pytest.raises(SettingsError) as failure:
        load()
    assert str(failure.value).splitlines() == [
        "DATABASE_URL: is not set",
        "BETTER_AUTH_URL: set it, or all of JWT_ISSUER, JWT_AUDIENCE, JWKS_URL",
    ]


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"better_auth_url": "app.example.com"}, "BETTER_AUTH_URL"),
        ({"better_auth_url": "ftp://app.example.com"}, "BETTER_AUTH_URL"),
        ({"better_auth_url": "https://"}, "BETTER_AUTH_URL"),
        ({"better_auth_url": "https://a:port"}, "BETTER_AUTH_URL"),
        ({"better_auth_url": "http://app.example.com"}, "JWKS_URL"),
        ({"jwks_url": "http://10.0.0.1/jwks"}, "JWKS_URL"),
        ({"jwks_url": "file:///etc/passwd"}, "JWKS_URL"),
        ({"jwt_issuer": ""}, "JWT_ISSUER"),
        ({"jwt_audience": ""}, "JWT_AUDIENCE"),
        ({"jwt_algorithms": "HS256"}, "JWT_ALGORITHMS"),
        ({"jwt_algorithms": "EdDSA,none"}, "JWT_ALGORITHMS"),
        ({"jwt_algorithms": ","}, "JWT_ALGORITHMS"),
        ({"cors_origins": "*"}, "CORS_ORIGINS"),
        ({"cors_origins": "https://a.example.com/tasks"}, "CORS_ORIGINS"),
        ({"cors_origins": "a.example.com"}, "CORS_ORIGINS"),
        ({"jwks_max_age": 300}, "JWKS_MAX_AGE"),
        ({"jwt_max_lifetime": 0}, "JWT_MAX_LIFETIME"),
        ({"pool_size": 0}, "POOL_SIZE"),
        ({"pool_size": "many"}, "POOL_SIZE"),
        ({"request_timeout": 0}, "REQUEST_TIMEOUT"),
        ({"request_timeout": "inf"}, "REQUEST_TIMEOUT"),
        ({"max_body_bytes": -1}, "MAX_BODY_BYTES"),
        ({"log_level": "loud"}, "LOG_LEVEL"),
        ({"docs_enabled": "perhaps"}, "DOCS_ENABLED"),
    ],
)
def test_an_invalid_setting_is_reported_in_one_line(changed: dict[str, Any], name: str) -> None:
    (line,) = refusal(**changed)
    assert re.match(rf"{name}: .", line)


def test_keys_over_plain_http_need_an_explicit_setting() -> None:
    assert settings(jwks_url="http://auth:3000/jwks", jwks_allow_http=True).keys_url
    for host in ("localhost", "127.0.0.1", "[::1]", "auth.localhost"):
        assert settings(jwks_url=f"http://{host}:3000/jwks").keys_url


def test_lists_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CORS_ORIGINS", " https://a.example.com , http://localhost:3000,")
    monkeypatch.setenv("PLUGINS", "audit,metrics")
    monkeypatch.setenv("JWT_ALGORITHMS", "EdDSA")
    known = settings()
    assert known.cors_origins == ("https://a.example.com", "http://localhost:3000")
    assert known.plugins == ("audit", "metrics")
    assert known.jwt_algorithms == ("EdDSA",)


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("JWT_ISSUER", "POOL_SIZE", "CORS_ORIGINS", "DATABASE_URL_UNPOOLED"):
        monkeypatch.setenv(name, "")
    assert settings() == Settings(**GOOD)


def test_settings_are_read_from_the_environment_and_from_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text(f"DATABASE_URL={URL}\nPOOL_SIZE=3\n")
    monkeypatch.setenv("BETTER_AUTH_URL", "https://app.example.com")
    monkeypatch.setenv("POOL_SIZE", "4")
    assert load() == settings(pool_size=4)


def test_settings_cannot_be_changed_and_do_not_show_the_password() -> None:
    known = settings()
    with pytest.raises(ValidationError, match="frozen"):
        known.pool_size = 3  # type: ignore[misc] # that is the point
    assert "p4ss" not in repr(known)


def test_the_database_alone_is_enough_to_migrate() -> None:
    assert load(DatabaseSettings, database_url=URL).migration_url == URL


def test_the_example_lists_exactly_the_settings_with_their_defaults(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    example = Path(__file__).parents[1] / ".env.example"
    found = re.findall(r"^(#?)([A-Z0-9_]+)=(.*)$", example.read_text(), re.MULTILINE)
    assert sorted(name.lower() for _, name, _ in found) == sorted(Settings.model_fields)
    for _, name, value in found:
        monkeypatch.setenv(name, value)
    shown = Settings(_env_file=None)
    derived = settings(better_auth_url=shown.better_auth_url)
    assert (shown.issuer, shown.audience, shown.keys_url) == (
        derived.issuer,
        derived.audience,
        derived.keys_url,
    )
    of_a_deployment = {"database_url", "database_url_unpooled", "better_auth_url", "cors_origins"}
    derived_from_it = {"jwt_issuer", "jwt_audience", "jwks_url"}
    derived_from_it |= {"neon_auth_base_url", "neon_auth_jwks_url"}
    for name in Settings.model_fields.keys() - of_a_deployment - derived_from_it:
        assert getattr(shown, name) == Settings.model_fields[name].default, name
