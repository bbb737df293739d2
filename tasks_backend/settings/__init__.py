"""The settings of a deployment: one frozen object, read from the environment and `.env`.

One rule for all: white space around a value, and quotes around all of it, are no part of it.
"""

import re
from typing import Annotated, Any, Literal, get_args, get_origin
from urllib.parse import urlsplit

from psycopg2.extensions import parse_dsn
from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from tasks_backend.settings import web_address
from tasks_backend.settings.database_url import read_database_url
from tasks_backend.settings.expected import describe_expected, is_secret
from tasks_backend.settings.pasted import clean, match_case, require_printable, split_list

ASYMMETRIC_ALGORITHMS = (
    "EdDSA",
    "ES256",
    "ES384",
    "ES512",
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
)
ENV_FILE = ".env"
ENV_FILE_ENCODING = "utf-8-sig"  # editors of Windows write a byte order mark
_ALIASES = {"warn": "warning"}  # of a choice
_VERBATIM = {"database_url", "database_url_unpooled"}
"""Settings that may have any character inside, beside secrets."""

NO_BETTER_AUTH = "BETTER_AUTH_URL: set it, or all of JWT_ISSUER, JWT_AUDIENCE, JWKS_URL"

Names = Annotated[tuple[str, ...], NoDecode]
Seconds = Annotated[float, "seconds"]
Bytes = Annotated[int, "bytes"]


class SettingsError(Exception):
    """The settings are invalid. Each line of the message names a setting and the reason."""


class EnvironmentSettings(BaseSettings):
    """Settings from the environment and `.env`, as people paste them."""

    model_config = SettingsConfigDict(
        env_file=ENV_FILE,
        env_file_encoding=ENV_FILE_ENCODING,
        env_ignore_empty=True,
        allow_inf_nan=False,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - pydantic's signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Treat an empty variable, also one with only white space, as not set."""
        for source in (env_settings, dotenv_settings):
            if isinstance(source, EnvSettingsSource):
                source.env_vars = {n: v for n, v in source.env_vars.items() if v and clean(v)}
        return init_settings, env_settings, dotenv_settings, file_secret_settings

    @field_validator("*", mode="before")
    @classmethod
    def _clean(cls, value: object, info: ValidationInfo) -> object:
        if not isinstance(value, str):
            return value
        value = clean(value)
        field = cls.model_fields[str(info.field_name)]
        if field.annotation == tuple[str, ...]:
            return tuple(map(require_printable, split_list(value)))
        if info.field_name in _VERBATIM or is_secret(field):
            return value
        value = require_printable(value)
        if get_origin(field.annotation) is not Literal:
            return value
        return match_case(_ALIASES.get(value.lower(), value), get_args(field.annotation))


class DatabaseSettings(EnvironmentSettings):
    """The settings of commands: the database, the plugins with tables in it, the log's salt."""

    database_url: str = Field(repr=False)
    database_url_unpooled: str | None = Field(default=None, repr=False)
    plugins: Names = ()
    log_salt: SecretStr | None = None

    @field_validator("database_url", "database_url_unpooled")
    @classmethod
    def _libpq_url(cls, value: str | None) -> str | None:
        return None if value is None else read_database_url(value)

    @field_validator("plugins")
    @classmethod
    def _lower_case(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(name.lower() for name in value)

    @property
    def pseudonym_salt(self) -> str:
        """The salt for user ids in the log: LOG_SALT, or the database's host and name.

        The latter is not secret. It is the same in all workers, and does not change with the
        database's login or password.
        """
        if self.log_salt is not None:
            return self.log_salt.get_secret_value()
        dsn = parse_dsn(self.database_url)
        return f"{dsn.get('host', '')}/{dsn.get('dbname', '')}"

    @property
    def migration_url(self) -> str:
        """The unpooled URL if set: migrations hold a session lock, which poolers lose."""
        return self.database_url_unpooled or self.database_url


class Settings(DatabaseSettings):
    """All settings of the service. Times are in seconds, sizes in bytes."""

    better_auth_url: str | None = None
    neon_auth_base_url: str | None = None
    jwt_issuer: str | None = Field(default=None, min_length=1)
    jwt_audience: str | None = Field(default=None, min_length=1)
    jwks_allow_http: bool = False
    neon_auth_jwks_url: str | None = None
    jwks_url: str | None = Field(default=None, validate_default=True)
    jwt_algorithms: Names = ("EdDSA", "ES256", "ES512", "RS256", "PS256")
    jwt_max_bytes: Bytes = Field(default=8 * 1024, ge=512)
    jwt_max_lifetime: Seconds = Field(default=7 * 86_400.0, gt=0)
    jwks_timeout: Seconds = Field(default=5.0, gt=0, le=60)
    jwks_cooldown: Seconds = Field(default=2.0, gt=0, le=300)
    jwks_refresh_after: Seconds = Field(default=300.0, gt=0)
    jwks_max_age: Seconds = Field(default=86_400.0, gt=0)

    cors_origins: Names = ()
    docs_enabled: bool = True
    jobs_enabled: bool = True

    max_body_bytes: Bytes = Field(default=128 * 1024, ge=1024)
    request_timeout: Seconds = Field(default=10.0, gt=0, le=300)
    statement_timeout: Seconds = Field(default=5.0, gt=0, le=300)
    connect_timeout: Seconds = Field(default=5.0, gt=0, le=60)
    pool_size: int = Field(default=10, ge=1, le=1000)
    pool_timeout: Seconds = Field(default=2.0, ge=0, le=60)
    max_concurrent_requests: int = Field(default=256, ge=1)
    idempotency_ttl: Seconds = Field(default=86_400.0, gt=0, le=366 * 86_400)
    max_tasks_per_user: int = Field(default=100_000, ge=0, le=2**31)
    max_idempotency_keys_per_user: int = Field(default=10_000, ge=0, le=2**31)

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "text", "json"] = "auto"

    @field_validator("jwt_algorithms")
    @classmethod
    def _asymmetric(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        names = tuple(match_case(name, ASYMMETRIC_ALGORITHMS) for name in value)
        if not names or not set(names) <= set(ASYMMETRIC_ALGORITHMS):
            raise ValueError(f"takes one or more of {', '.join(ASYMMETRIC_ALGORITHMS)}")
        return names

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(map(web_address.browser_origin, value)))

    @field_validator("jwks_max_age")
    @classmethod
    def _more_than_refresh_after(cls, value: float, info: ValidationInfo) -> float:
        """Require more than JWKS_REFRESH_AFTER: after expired keys, requests wait for a fetch."""
        if value <= info.data.get("jwks_refresh_after", 0):
            raise ValueError("must be more than JWKS_REFRESH_AFTER")
        return value

    @field_validator("better_auth_url", "neon_auth_base_url")
    @classmethod
    def _base_url(cls, value: str | None) -> str | None:
        if value is not None:
            web_address.origin(value)
            if any(mark in value for mark in "?#"):
                raise ValueError("takes a URL without a query and without a #")
        return value

    @field_validator("jwks_url", "neon_auth_jwks_url")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        if value is not None:
            web_address.split_url(value)
        return value

    @field_validator("jwks_url")
    @classmethod
    def _issuer_is_configured(cls, value: str | None, info: ValidationInfo) -> str | None:
        """Check the token settings together. A model validator would not run if another setting is wrong."""
        parts = {"jwt_issuer", "jwt_audience", "jwks_allow_http"}
        if not parts | {"better_auth_url", "neon_auth_base_url", "neon_auth_jwks_url"} <= {
            *info.data
        }:
            return value  # one of them is invalid
        known = cls.model_construct(**info.data, jwks_url=value)
        if known.base_url is None and not (
            known.jwt_issuer and known.jwt_audience and known.keys_url
        ):
            raise ValueError(NO_BETTER_AUTH)
        keys = urlsplit(known.keys_url)
        if (
            keys.scheme == "http"
            and not known.jwks_allow_http
            and not web_address.is_loopback(keys.hostname)
        ):
            raise ValueError("JWKS_URL: keys over plain http need JWKS_ALLOW_HTTP=true")
        return value

    @property
    def base_url(self) -> str | None:
        """Better Auth's base URL: BETTER_AUTH_URL, else NEON_AUTH_BASE_URL."""
        return self.better_auth_url or self.neon_auth_base_url

    @property
    def issuer(self) -> str:
        """The `iss` that tokens must have: by default the origin of Better Auth's base URL."""
        return self.jwt_issuer or web_address.origin(self.base_url or "")

    @property
    def audience(self) -> str:
        """The `aud` that tokens must have: by default the origin of Better Auth's base URL."""
        return self.jwt_audience or web_address.origin(self.base_url or "")

    @property
    def keys_url(self) -> str:
        """The URL of the keys. NEON_AUTH_JWKS_URL does not belong to a BETTER_AUTH_URL."""
        if self.jwks_url is not None:
            return self.jwks_url
        if self.neon_auth_jwks_url is not None and self.better_auth_url is None:
            return self.neon_auth_jwks_url
        return "" if self.base_url is None else web_address.key_set_url(self.base_url)


def load(kind: type[EnvironmentSettings] = Settings, **values: Any) -> Any:
    """Return the settings from the environment and `.env`. `_env_prefix` begins their variables.

    Raises SettingsError with a line for each missing or wrong setting; no line contains a value.
    """
    try:
        return kind(**values)
    except ValidationError as error:
        lines = [
            _sentence(kind, values.get("_env_prefix", ""), entry)
            for entry in error.errors(include_url=False)
        ]
        raise SettingsError("\n".join(lines)) from None
    except UnicodeDecodeError:
        raise SettingsError(f"{ENV_FILE}: is not UTF-8: save it in that encoding") from None
    except OSError as error:
        raise SettingsError(f"{ENV_FILE}: cannot be read ({error.strerror})") from None


def _sentence(kind: type[EnvironmentSettings], prefix: str, entry: ErrorDetails) -> str:
    """Return the variable and the reason, without the value."""
    message = entry["msg"].removeprefix("Value error, ")
    repeats = bool(prefix) and _repeats(message, entry["input"])  # a plugin's own validator
    if not entry["loc"]:
        return "its settings do not fit together" if repeats else message
    name = str(entry["loc"][0])
    field = kind.model_fields[name]
    if entry["type"] == "missing":
        message = "is not set"
    elif entry["type"] != "value_error":
        message = f"takes {describe_expected(field)}"
    elif repeats or (prefix and is_secret(field)):
        message = "is not valid"
    elif re.match("[A-Z_]+: ", message):
        return message
    return f"{f'{prefix}{name}'.upper()}: {message}"


def _repeats(message: str, given: object) -> bool:
    """Whether a message contains a value, or an item of one."""
    values = given.values() if isinstance(given, dict) else [given]
    return any(item in message for value in values for item in split_list(str(value)))
