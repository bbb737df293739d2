"""Every setting as people paste it: the value that is meant, or a sentence that says what is wrong."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from dotenv import dotenv_values
from hypothesis import example, given, settings
from hypothesis import strategies as st
from psycopg2.extensions import parse_dsn
from pydantic import SecretStr

from tasks_backend import Settings, SettingsError
from tasks_backend.settings import environment, load
from tasks_backend.settings.database_url import read_database_url

URL = "postgresql://user:p4ss@db.example.com/tasks"
REQUIRED = {"DATABASE_URL": URL, "BETTER_AUTH_URL": "https://app.example.com"}


@dataclass(frozen=True)
class Refused:
    """The setting is refused, and the sentence has these words."""

    words: str


@dataclass(frozen=True)
class Row:
    """A setting: a good value as text, what it means, and accidents of its own."""

    text: str
    value: Any
    accidents: Mapping[str, Any] = field(default_factory=dict)
    takes_other_quotes: bool = False
    """Whether a quotation mark at one end may be meant."""


def seconds(text: str) -> Row:
    wrong = Refused("takes a number of seconds without a unit")
    return Row(
        text,
        float(text),
        {f"{text}s": wrong, "10ms": wrong, "15m": wrong, "inf": wrong, "-1": wrong},
    )


def size(text: str) -> Row:
    wrong = Refused("takes a whole number of bytes without a unit")
    return Row(text, int(text), {"128KB": wrong, f"{text}.5": wrong, "0": wrong})


def count(text: str) -> Row:
    wrong = Refused("takes a whole number, at least")
    return Row(text, int(text), {"ten": wrong, f"{text}.5": wrong, "1e3": wrong, "-1": wrong})


def boolean() -> Row:
    return Row(
        "false", False, {"FALSE": False, "No": False, "0": False, "maybe": Refused("true or")}
    )


def web(text: str) -> dict[str, Any]:
    """The accidents of a web server's URL. Nothing of it is changed silently."""
    return {
        f"{text}/": f"{text}/",
        text.replace("https", "HTTPS"): text.replace("https", "HTTPS"),
        text.removeprefix("https://"): Refused("must begin with https://"),
        text.replace("https", "ftp"): Refused("must begin with https://"),
        text.replace("/app", "/a pp"): Refused("white space inside"),
        text.replace("/app", "/a\npp"): Refused("line break"),
        text.replace(".com", ".com:port"): Refused("port that is no number"),
        "https://": Refused("has no host"),
    }


DATABASE = {
    f"psql '{URL}'": URL,
    f'psql "{URL}"\n': URL,
    f"psql {URL}": URL,
    f"\"psql '{URL}'\"": URL,
    URL.replace("postgresql", "postgres"): URL,
    URL.replace("postgresql", "POSTGRESQL"): URL,
    URL.replace("postgresql", "postgresql+asyncpg"): URL,
    f"{URL}/": f"{URL}/",
    "host=/run dbname=tasks password='a b'": "host=/run dbname=tasks password='a b'",
    f"psql -d {URL}": Refused("psql command with options"),
    f"DATABASE_URL={URL}": Refused("variable's name"),
    f"export DATABASE_URL='{URL}'": Refused("variable's name"),
    f"{URL}?pgbouncer=true": Refused("parameter pgbouncer, which is Prisma's: remove it"),
    f"{URL}?sslmode=require&schema=public": Refused("parameter schema, which is Prisma's"),
    f"{URL}?sslmod=require": Refused("parameter sslmod, which PostgreSQL does not have"),
    f"{URL}?ssl=require": Refused("write sslmode=require"),
    f"{URL}?sslmode=REQUIRE": Refused("wrong sslmode: it must be disable, allow"),
    f"{URL}?channel_binding=yes": Refused("wrong channel_binding"),
    f"{URL}?sslmode": Refused("name=value"),
    f"{URL}?options=-c a=b": Refused("a further = is %3D"),
    f"{URL}?sslmode=require&amp;channel_binding=require": Refused("after the ?"),
    f"{URL}\nx": Refused("line break"),
    URL.replace("p4ss", "*****"): Refused("asterisks"),
    URL.replace("db.example.com", ""): Refused("names no host"),
    "postgresql:///tasks": Refused("names no host"),
    "dbname=tasks": Refused("names no host"),
    URL.replace(".com", ".com:port"): Refused("port that is no number from 1 to 65535"),
    URL.replace(".com", ".com:70000"): Refused("port that is no number from 1 to 65535"),
    URL.replace("db.example", "db..example"): Refused("host that cannot be a name"),
    URL.replace("db.example", "db example"): Refused("host that cannot be a name"),
    f"jdbc:{URL}": Refused("must look like postgresql://"),
    "host=h;port=1;username=u;password=p4ss;database=d": Refused("parameters in its host"),
    "host=h dbname=d;password=p4ss": Refused("parameters in its dbname"),
    "host=h,password=p4ss dbname=d": Refused("parameters in its host"),
    "postgresql://h:1/d&user=u&password=p4ss": Refused("parameters in its dbname"),
    "postgresql://h;user=u;password=p4ss/d": Refused("parameters in its host"),
    "mysql://u:p4ss@h/d": Refused("must look like postgresql://"),
    "nonsense": Refused("must look like postgresql://"),
    "postgresql:/u:p4ss@h/d": Refused("must look like postgresql://"),
    "host=h password=p4ss word": Refused("must look like postgresql://"),
}
ORIGINS = {
    "https://app.example.com:443": ("https://app.example.com",),
    "http://localhost:3000/": ("http://localhost:3000",),
    "HTTPS://App.Example.com": ("https://app.example.com",),
    "https://bücher.example": ("https://xn--bcher-kva.example",),
    "https://faß.example": ("https://xn--fa-hia.example",),
    "http://[0:0::1]:80": ("http://[::1]",),
    "https://a.example, 'https://b.example'\nhttps://a.example:443": (
        "https://a.example",
        "https://b.example",
    ),
    "https://a.example/path": Refused("no path and no query"),
    "https://a.example//": Refused("no path and no query"),
    "https://a.example?q": Refused("no path and no query"),
    "https://a.example#f": Refused("no path and no query"),
    "https://u:p4ss@a.example": Refused("without a user"),
    "*": Refused("takes no *"),
    "https://*.example.com": Refused("takes no *"),
    "null": Refused("takes no null"),
    "app.example.com": Refused("must begin with https://"),
    "localhost:3000": Refused("must begin with https://"),
    "capacitor://localhost": Refused("must begin with https://"),
    '["https://a.example"]': Refused("without brackets"),
    "https://☃.example": Refused("punycode"),
    "https://a.example:x": Refused("port"),
}
NEON = "https://ep-x.neonauth.eu-central-1.aws.neon.tech/neondb/auth"

ROWS = {
    "database_url": Row(URL, URL, DATABASE),
    "database_url_unpooled": Row(URL, URL, DATABASE),
    "plugins": Row("metrics", ("metrics",), {"Metrics, tracing,": ("metrics", "tracing")}),
    "better_auth_url": Row(
        "https://app.example.com/app",
        "https://app.example.com/app",
        {
            **web("https://app.example.com/app"),
            "https://app.example.com/?q": Refused("without a query"),
            "https://app.example.com/#f": Refused("without a query"),
            "https://a_b..c%/": Refused("host that cannot be a name"),
        },
    ),
    "neon_auth_base_url": Row(NEON, NEON, web("https://app.example.com/app")),
    # The token's issuer and audience are compared exactly: a slash or a capital letter counts.
    "jwt_issuer": Row("Https://A/", "Https://A/", {"a\nb": Refused("line break")}),
    "jwt_audience": Row("Tasks API", "Tasks API", {"warn": "warn", "a\tb": Refused("invisible")}),
    "jwks_allow_http": boolean(),
    "jwks_url": Row("https://a/jwks", "https://a/jwks", web("https://a.com/app/jwks")),
    "neon_auth_jwks_url": Row("https://a/jwks", "https://a/jwks", web("https://a.com/app/jwks")),
    "jwt_algorithms": Row(
        "EdDSA,ES256",
        ("EdDSA", "ES256"),
        {
            "eddsa es256": ("EdDSA", "ES256"),
            "HS256": Refused("takes one or more of EdDSA"),
            ",": Refused("takes one or more of EdDSA"),
        },
    ),
    "jwt_max_bytes": size("4096"),
    "jwt_max_lifetime": seconds("900"),
    "jwks_timeout": seconds("4"),
    "jwks_cooldown": seconds("1.5"),
    "jwks_refresh_after": seconds("60"),
    "jwks_max_age": seconds("7200"),
    "cors_origins": Row("https://a.example", ("https://a.example",), ORIGINS),
    "docs_enabled": boolean(),
    "jobs_enabled": boolean(),
    "max_body_bytes": size("4096"),
    "request_timeout": seconds("5"),
    "statement_timeout": seconds("4"),
    "connect_timeout": seconds("3"),
    "pool_size": count("5"),
    "pool_timeout": seconds("1"),
    "max_concurrent_requests": count("100"),
    "idempotency_ttl": seconds("3600"),
    "max_tasks_per_user": count("10"),
    "max_idempotency_keys_per_user": count("10"),
    "log_level": Row(
        "debug",
        "debug",
        {"DEBUG": "debug", "warn": "warning", "Warn": "warning", "loud": Refused("debug, info,")},
    ),
    "log_format": Row("text", "text", {"JSON": "json", "xml": Refused("auto, text or json")}),
    "log_salt": Row("a b", SecretStr("a b"), {"a\nb": SecretStr("a\nb")}, takes_other_quotes=True),
}
"""A new setting needs a row."""

AROUND = ("{}", " {} ", "\t{}", "{}\n", "{}\r\n", "\u00a0{}\ufeff", '"{}"', "'{}'", ' "{} "\n')
OTHER_QUOTES = ("“{}”", "„{}“", "`{}`", '"{}', "{}'")


def pasted(name: str) -> list[tuple[str, Any]]:
    row = ROWS[name]
    meant = [(around.format(row.text), row.value) for around in AROUND]
    if not row.takes_other_quotes:
        meant += [(q.format(row.text), Refused("quotation mark")) for q in OTHER_QUOTES]
    return [*meant, *row.accidents.items()]


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in REQUIRED.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)


def test_every_setting_has_a_row() -> None:
    assert ROWS.keys() == Settings.model_fields.keys()


@pytest.mark.parametrize("name", ROWS)
def test_a_pasted_value_is_what_is_meant_or_is_refused_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for text, expected in pasted(name):
        monkeypatch.setenv(name.upper(), text)
        if not isinstance(expected, Refused):
            assert getattr(load(), name) == expected, text
            continue
        with pytest.raises(SettingsError) as failure:
            load()
        (line,) = str(failure.value).splitlines()
        assert line.startswith(f"{name.upper()}: "), (text, line)
        assert expected.words in line, (text, line)
        assert "p4ss" not in line, (text, line)


@pytest.mark.parametrize("name", ROWS)
def test_a_blank_variable_is_not_set(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    """So the value of `.env` counts, or the default."""
    file = tmp_path / ".env"
    for blank in ("", " ", "\n", "''", '""\r\n'):
        monkeypatch.setenv(name.upper(), blank)
        file.write_text(f'{name.upper()}="{ROWS[name].text}"\n')
        assert getattr(load(), name) == ROWS[name].value
        file.unlink()
        if name.upper() not in REQUIRED:
            assert getattr(load(), name) == Settings.model_fields[name].default
            continue
        with pytest.raises(SettingsError, match=f"{name.upper()}: (is not set|set it)"):
            load()


LIBRARIES = {
    "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318",
    "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    "OTEL_SDK_DISABLED": "true",
    "OTEL_TRACES_EXPORTER": "none",
    "PROMETHEUS_MULTIPROC_DIR": "/run/metrics",
}
"""What docs/observability.md names, and libraries read."""


@pytest.mark.parametrize("name", LIBRARIES)
def test_variables_of_libraries_are_cleaned_as_settings_are(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for around in AROUND:
        monkeypatch.setenv(name, around.format(LIBRARIES[name]))
        environment.add_file()
        assert os.environ[name] == LIBRARIES[name]


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_blank_variable_of_a_library_is_not_set(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    monkeypatch.setenv(name, " ")
    environment.add_file()
    assert name not in os.environ
    monkeypatch.setenv(name, "")
    (tmp_path / ".env").write_text(f"export {name} = '{LIBRARIES[name]}'  # ours\r\n")
    environment.add_file()
    assert os.environ[name] == LIBRARIES[name]


def test_a_variable_of_the_file_never_replaces_one_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text(
        "PLUGIN_KEY=file\nOTEL_SERVICE_NAME=file\nPGHOST=x\nPOOL_SIZE=3\n"
    )
    monkeypatch.setenv("OTEL_SERVICE_NAME", "environment")
    for name in ("PLUGIN_KEY", "PGHOST"):
        monkeypatch.delenv(name, raising=False)
    with environment.file_added():
        assert (os.environ["PLUGIN_KEY"], os.environ["OTEL_SERVICE_NAME"]) == (
            "file",
            "environment",
        )
        assert not {"PGHOST", "POOL_SIZE"} & os.environ.keys()
        assert load().pool_size == 3
    assert "PLUGIN_KEY" not in os.environ


@pytest.mark.parametrize(
    ("content", "said"),
    [("DATABASE_URL=x\n".encode("utf-16"), ".env: is not UTF-8"), (b"\xff", ".env: is not UTF-8")],
)
def test_a_file_in_another_encoding_is_refused_with_a_sentence(
    tmp_path: Path, content: bytes, said: str
) -> None:
    (tmp_path / ".env").write_bytes(content)
    environment.add_file()
    with pytest.raises(SettingsError, match=said):
        load()


def test_a_file_with_a_byte_order_mark_is_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("DATABASE_URL")
    (tmp_path / ".env").write_text(f"DATABASE_URL={URL}\n", encoding="utf-8-sig")
    assert load().database_url == URL
    assert "DATABASE_URL" in dotenv_values(tmp_path / ".env", encoding="utf-8-sig")


SPECIAL = st.text("@:/?#%&= +'\"[]\\\\a2", max_size=6)
ENDS = st.sampled_from(["", "?sslmode=require", "?sslmode=require&password=x", "?ter2=@x"])


@given(SPECIAL, SPECIAL, ENDS)
@example("@", "", "")
@example("/", "", "")
@example("12/", "", "")
@example("%", "", "")
@example("@y?user=", "", "")
@example("12/y?user=", "", "")
@example("@/y?host=", "", "")
@settings(max_examples=300, deadline=None)
def test_no_part_of_a_password_is_shown_or_taken_for_something_else(
    before: str, after: str, end: str
) -> None:
    url = f"postgresql://user:{before}ter2{after}@db.example.com:5432/tasks{end}"
    try:
        read = read_database_url(url)
    except ValueError as error:
        shown = str(error)
    else:
        shown = str({**parse_dsn(read), "password": ""})
        assert "'host': 'db.example.com', 'port': '5432'" in shown
    assert "ter2" not in shown
    encoded = quote(f"{before}ter2{after}", safe="")
    known = parse_dsn(read_database_url(f"postgresql://user:{encoded}@db.example.com/tasks"))
    assert known["password"] == f"{before}ter2{after}"


def _shown(url: str) -> str:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - any sentence
        read_database_url(url)
    return str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:hun?ter2",
        "postgresql://u:1?ter2=3/d",
        "postgresql://u:a/b?ter2=x",
        "postgresql://u:a?ter2&host=h",
        "postgresql://h/d?user=u&pass%77ord=a&ter2",
    ],
)
def test_a_part_of_a_password_is_not_named_as_a_parameter(url: str) -> None:
    assert "ter2" not in _shown(url)


@pytest.mark.parametrize(
    "url",
    ["postgresql://u:p%E4ter2@127.0.0.1:1/d", "postgresql://u@h/%FF", "postgresql://u:\udcff@h/d"],
)
def test_a_url_that_is_not_utf_8_has_its_sentence(url: str) -> None:
    assert _shown(url).startswith("is not UTF-8: percent-encode special characters as UTF-8")
