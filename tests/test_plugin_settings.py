"""Settings of plugins: declared, read like the service's, checked at the start, shown without secrets."""

import json
import logging
from collections.abc import Callable
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Annotated, Any, Literal

import httpx2
import pytest
from fastapi import APIRouter, Depends
from pydantic import Field, HttpUrl, SecretStr, field_validator, model_validator
from support.commands import invoked

from tasks_backend import Plugin, PluginError, PluginSettings, Settings, create_app
from tasks_backend import plugin as plugins
from tasks_backend.plugin import load_plugin_settings
from tasks_backend.serving.server import _settings_of_plugins
from tasks_backend.serving.startup_log import log_start
from tasks_backend.settings.expected import describe_expected
from tasks_backend.testing.service import served

SECRET = "hun://ter2"
GOOD = {
    "MAIL_BOX_URL": " 'https://user:pass@hooks.example.com/T123/B456?key=abc' ",
    "MAIL_BOX_DAYS": '"7"',
    "MAIL_BOX_MODE": "SLOW",
    "MAIL_BOX_TO": "ann, bob",
    "MAIL_BOX_PASSWORD": f"\n{SECRET}\n",
    "MAIL_BOX_API_KEY": SECRET,
}
SERVICE = {
    "DATABASE_URL": "postgres://127.0.0.1:1/d",
    "BETTER_AUTH_URL": "http://127.0.0.1:1",
    "PLUGINS": "mail-box",
}


class MailSettings(PluginSettings):
    """Each kind of setting."""

    url: HttpUrl = Field(description="Where the mail goes.\nA webhook.")
    days: int = Field(default=30, ge=1)
    mode: Literal["fast", "slow"] = "fast"
    to: tuple[str, ...] = ()
    password: SecretStr | None = None
    api_key: str = "none"
    dry: bool = False

    @field_validator("api_key")
    @classmethod
    def _long(cls, value: str) -> str:
        if value == "short":
            raise ValueError(f"{value} is too short")
        if value == "wrong":
            raise ValueError("needs the form of a key")
        return value

    @model_validator(mode="after")
    def _together(self) -> "MailSettings":
        if self.dry and self.to:
            raise ValueError(f"dry mail goes to nobody, not to {self.to[0]}")
        return self


router = APIRouter()


@router.get("/days")
async def days(settings: Annotated[MailSettings, Depends(MailSettings.of)]) -> int:
    return settings.days


mail = Plugin("mail-box", {"v1": router}, public=True, settings=MailSettings)


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The plugin is installed, and nothing is set."""
    points = EntryPoints([EntryPoint("mail-box", f"{__name__}:mail", plugins.GROUP)])
    monkeypatch.setattr(plugins, "entry_points", lambda group: points.select(group=group))
    for name in MailSettings.model_fields:
        monkeypatch.delenv(f"MAIL_BOX_{name.upper()}", raising=False)
    monkeypatch.chdir(tmp_path)


def test_they_are_read_from_the_environment_and_env_as_they_are_pasted(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MAIL_BOX_DAYS", GOOD["MAIL_BOX_DAYS"])
    (tmp_path / ".env").write_text(
        "\ufeffMAIL_BOX_DAYS=8\n"
        + "".join(f"{name}={json.dumps(GOOD[name])}\n" for name in GOOD if "DAYS" not in name)
    )
    app = create_app(settings, plugins=[mail])
    found = MailSettings.of_app(app)
    assert found.url.path == "/T123/B456"
    assert (found.days, found.mode, found.to) == (7, "slow", ("ann", "bob"))
    assert found.password is not None
    assert found.password.get_secret_value() == SECRET
    with served(app) as url:
        assert httpx2.get(f"{url}/api/v1/mail-box/days").json() == 7


@pytest.mark.parametrize(
    ("wrong", "lines"),
    [
        ({"MAIL_BOX_URL": ""}, ["MAIL_BOX_URL: is not set"]),
        ({"MAIL_BOX_URL": "nonsense"}, ["MAIL_BOX_URL: takes a valid HttpUrl"]),
        ({"MAIL_BOX_DAYS": "0"}, ["MAIL_BOX_DAYS: takes a whole number, at least 1"]),
        ({"MAIL_BOX_MODE": "warn"}, ["MAIL_BOX_MODE: takes fast or slow"]),
        ({"MAIL_BOX_DRY": "perhaps"}, ["MAIL_BOX_DRY: takes true or false"]),
        ({"MAIL_BOX_API_KEY": "short"}, ["MAIL_BOX_API_KEY: is not valid"]),
        ({"MAIL_BOX_API_KEY": "wrong"}, ["MAIL_BOX_API_KEY: needs the form of a key"]),
        ({"MAIL_BOX_DRY": "true"}, ["its settings do not fit together"]),
        (
            {"MAIL_BOX_DAYS": "many", "MAIL_BOX_TO": "“ann”"},
            [
                "MAIL_BOX_DAYS: takes a whole number, at least 1",
                "MAIL_BOX_TO: has a quotation mark at its start or end: remove it",
            ],
        ),
    ],
)
def test_a_wrong_one_stops_the_start_with_a_line_that_has_no_value(
    tmp_path: Path, wrong: dict[str, str], lines: list[str]
) -> None:
    expected = [f"plugin 'mail-box': {line}" for line in lines]
    variables = {**SERVICE, **GOOD, **wrong}
    serving = invoked(tmp_path, "serve", **variables)
    assert serving.exit_code == 2
    assert serving.stderr.splitlines() == [f"error: {line}" for line in expected]
    findings = invoked(tmp_path, "doctor", "--json", **variables)
    said = [f for f in json.loads(findings.stdout) if f["check"] == "settings.plugins"]
    assert [(f["outcome"], f["message"]) for f in said] == [
        ("problem", f"{line}.") for line in expected
    ]


def test_doctor_and_the_first_line_show_them_without_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name, value in {**SERVICE, **GOOD}.items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    with caplog.at_level(logging.INFO, "tasks_backend"):
        log_start(settings, (), _settings_of_plugins(settings))
    fields = vars(caplog.records[0])
    assert {name: fields[name] for name in fields if name.startswith("mail_box")} == {
        "mail_box_url": "https://hooks.example.com",
        "mail_box_days": 7,
        "mail_box_mode": "slow",
        "mail_box_to": "ann,bob",
        "mail_box_password": "set",
        "mail_box_api_key": "set",
        "mail_box_dry": False,
    }
    found = invoked(tmp_path, "doctor", "--json", **SERVICE, **GOOD)
    (said,) = [f for f in json.loads(found.stdout) if f["check"] == "settings.plugins"]
    assert said["outcome"] == "ok"
    assert "MAIL_BOX_DAYS" in said["message"]
    assert SECRET not in found.stdout


def test_a_text_that_is_too_short_is_told_its_length() -> None:
    class Signed(PluginSettings):
        secret: Annotated[SecretStr, Field(min_length=16)]
        note: Annotated[str, Field(min_length=1)]

    fields = Signed.model_fields
    assert describe_expected(fields["secret"]) == "a text of at least 16 characters"
    assert describe_expected(fields["note"]) == "a text that is not empty"


def test_a_command_prints_them_as_lines_of_env(tmp_path: Path) -> None:
    printed = invoked(tmp_path, "settings", PLUGINS="mail-box")
    assert printed.stdout.splitlines() == [
        "# --- mail-box ---",
        "# Where the mail goes.",
        "# A webhook.",
        "MAIL_BOX_URL=",
        "# Takes a whole number, at least 1.",
        "#MAIL_BOX_DAYS=30",
        "# Takes fast or slow.",
        "#MAIL_BOX_MODE=fast",
        "# Takes a list, separated by commas.",
        "#MAIL_BOX_TO=",
        "# Takes a text that is not empty.",
        "#MAIL_BOX_PASSWORD=",
        "# Takes a text that is not empty.",
        "#MAIL_BOX_API_KEY=none",
        "# Takes true or false.",
        "#MAIL_BOX_DRY=false",
    ]
    nothing = invoked(tmp_path, "settings")
    assert (nothing.exit_code, nothing.stdout) == (0, "")
    assert "No plugin" in nothing.stderr


def declare(name: str, **fields: Any) -> Plugin:
    kind = type("Own", (PluginSettings,), {"__annotations__": dict.fromkeys(fields, str), **fields})
    return Plugin(name, settings=kind)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: [declare("log", level="x")], "'log': its setting LOG_LEVEL .* of the service"),
        (
            lambda: [declare("a", b_c="x"), declare("a-b", c="x")],
            "'a-b': its setting A_B_C is a setting of the plugin 'a'",
        ),
    ],
)
def test_a_variable_has_one_meaning(make: Callable[[], list[Plugin]], sentence: str) -> None:
    with pytest.raises(PluginError, match=sentence):
        load_plugin_settings(make())


def test_a_setting_has_no_alias() -> None:
    with pytest.raises(TypeError, match="'dsn' of a plugin has an alias"):
        declare("mail", dsn=Field("x", validation_alias="SENTRY_DSN"))
