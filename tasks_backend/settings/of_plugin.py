"""Settings of plugins: the same environment and `.env`, the same rules, a prefix for each plugin."""

import re
from typing import Any, Self

from fastapi import FastAPI, Request
from pydantic import TypeAdapter
from pydantic.fields import FieldInfo
from pydantic_settings import SettingsConfigDict

from tasks_backend.settings import EnvironmentSettings
from tasks_backend.settings.expected import describe_expected, is_secret

_SOUNDS_SECRET = re.compile("secret|token|passw|credential|key|salt|dsn")


class PluginSettings(EnvironmentSettings):
    """Base of a plugin's settings. The variable of a field is the plugin's name, `_` and the field's.

    Fields are texts, numbers, booleans, `Literal`, `SecretStr`, `tuple[str, ...]`, or any type that
    pydantic reads from a text. A field's description is shown in `tasks-backend settings`.
    """

    model_config = SettingsConfigDict(enable_decoding=False)

    @classmethod
    def __pydantic_init_subclass__(cls, **options: object) -> None:
        """Raise TypeError for a field with an alias: its variable is made of the two names."""
        super().__pydantic_init_subclass__(**options)
        for name, field in cls.model_fields.items():
            if field.alias or field.validation_alias:
                raise TypeError(f"the setting {name!r} of a plugin has an alias: remove it")

    @classmethod
    def of(cls, request: Request) -> Self:
        """Return the settings in a route: `Annotated[AuditSettings, Depends(AuditSettings.of)]`."""
        return cls.of_app(request.app)

    @classmethod
    def of_app(cls, app: FastAPI) -> Self:
        """Return the settings in a lifespan. Raises LookupError if no plugin has declared them."""
        settings: Self = app.state.plugin_settings[cls]
        return settings


def shown(settings: PluginSettings, prefix: str) -> dict[str, object]:
    """Return the settings in effect by variable, without secrets.

    If a value may be a secret, only say that it is set. Of an address, show only the host, because a path
    or a query may be a secret.
    """
    result: dict[str, object] = {}
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        if value is None:
            continue
        is_hidden = is_secret(field) or not field.repr or _SOUNDS_SECRET.search(name)
        plain = value if isinstance(value, bool | int | float) else _host(_text(field, value))
        result[f"{prefix}{name}".lower()] = "set" if is_hidden else plain
    return result


def example(kind: type[PluginSettings], prefix: str) -> list[str]:
    """Return the lines of `.env.example` for the settings."""
    lines = []
    for name, field in kind.model_fields.items():
        what = (field.description or f"Takes {describe_expected(field)}.").split("\n")
        lines += [f"# {line}".rstrip() for line in what]
        default = (
            "" if field.is_required() or is_secret(field) else _text(field, field.get_default())
        )
        mark = "" if field.is_required() else "#"
        lines.append(f"{mark}{f'{prefix}{name}'.upper()}={default}")
    return lines


def _host(text: str) -> str:
    """Return the scheme and the host of an address; another text as it is."""
    scheme, separator, rest = text.partition("://")
    return f"{scheme}://{re.split('[/?#]', rest)[0].rpartition('@')[2]}" if separator else text


def _text(field: FieldInfo, value: object) -> str:
    """Return a value as it is written in the environment."""
    if value is None:
        return ""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    adapter: TypeAdapter[Any] = TypeAdapter(field.annotation or Any)
    plain = adapter.dump_python(value, mode="json")
    return str(plain).lower() if isinstance(plain, bool) else str(plain)
