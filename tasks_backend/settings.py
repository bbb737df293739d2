"""The settings of a deployment: one frozen object, read from the environment."""

import ipaddress
import re
from typing import Annotated, Any, Literal
from urllib.parse import SplitResult, urlsplit

import psycopg2
from psycopg2.extensions import parse_dsn
from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

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
Names = Annotated[tuple[str, ...], NoDecode]


class SettingsError(Exception):
    """The settings are invalid. Each line of the message names a setting and the reason."""


class DatabaseSettings(BaseSettings):
    """The settings of commands: the database, the plugins with tables in it, the log's salt."""

    model_config = SettingsConfigDict(
        env_file=".env",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    database_url: str = Field(repr=False)
    database_url_unpooled: str | None = Field(default=None, repr=False)
    plugins: Names = ()
    log_salt: SecretStr | None = None

    @field_validator("jwt_algorithms", "cors_origins", "plugins", mode="before", check_fields=False)
    @classmethod
    def _split_at_commas(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("database_url", "database_url_unpooled")
    @classmethod
    def _libpq_url(cls, value: str | None) -> str | None:
        """Accept the URL as Neon, Heroku or SQLAlchemy write it, and return libpq's form."""
        if value is None:
            return None
        scheme, separator, rest = value.strip().partition("://")
        if separator and scheme.partition("+")[0] in {"postgres", "postgresql"}:
            value = f"postgresql://{rest}"
        try:
            dsn = parse_dsn(value)
        except psycopg2.ProgrammingError:
            dsn = {}  # libpq's own message may contain the password
        if not dsn or not all(_is_port(port) for port in dsn.get("port", "5432").split(",")):
            raise ValueError("is no PostgreSQL URL (postgresql://user:password@host/database)")
        if "hostaddr" not in dsn and not all(map(_is_host, dsn.get("host", "").split(","))):
            raise ValueError(
                "has a host that cannot be a name;"
                " percent-encode what is special in the user and the password (@ is %40)"
            )
        return value

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
    jwt_issuer: str | None = Field(default=None, min_length=1)
    jwt_audience: str | None = Field(default=None, min_length=1)
    jwks_allow_http: bool = False
    jwks_url: str | None = Field(default=None, validate_default=True)
    jwt_algorithms: Names = ("EdDSA", "ES256", "ES512", "RS256", "PS256")
    jwt_max_bytes: int = Field(default=8 * 1024, ge=512)
    jwt_max_lifetime: float = Field(default=7 * 86_400.0, gt=0)
    jwks_timeout: float = Field(default=5.0, gt=0, le=60)
    jwks_cooldown: float = Field(default=2.0, gt=0, le=300)
    jwks_refresh_after: float = Field(default=300.0, gt=0)
    jwks_max_age: float = Field(default=86_400.0, gt=0)

    cors_origins: Names = ()
    docs_enabled: bool = True

    max_body_bytes: int = Field(default=128 * 1024, ge=1024)
    request_timeout: float = Field(default=10.0, gt=0, le=300)
    statement_timeout: float = Field(default=5.0, gt=0, le=300)
    connect_timeout: float = Field(default=5.0, gt=0, le=60)
    pool_size: int = Field(default=10, ge=1, le=1000)
    pool_timeout: float = Field(default=2.0, ge=0, le=60)
    max_concurrent_requests: int = Field(default=256, ge=1)
    idempotency_ttl: float = Field(default=86_400.0, gt=0)
    max_tasks_per_user: int = Field(default=100_000, ge=0)
    max_idempotency_keys_per_user: int = Field(default=10_000, ge=0)

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["auto", "text", "json"] = "auto"

    @field_validator("jwt_algorithms")
    @classmethod
    def _asymmetric(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or not set(value) <= set(ASYMMETRIC_ALGORITHMS):
            raise ValueError(f"takes one or more of {', '.join(ASYMMETRIC_ALGORITHMS)}")
        return value

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            parts = _http_url(origin)
            if parts is None or origin != f"{parts.scheme}://{parts.netloc}":
                raise ValueError("takes origins such as https://app.example.com, no path and no *")
        return value

    @field_validator("jwks_max_age")
    @classmethod
    def _more_than_refresh_after(cls, value: float, info: ValidationInfo) -> float:
        """Require more than JWKS_REFRESH_AFTER: after expired keys, requests wait for a fetch."""
        if value <= info.data.get("jwks_refresh_after", 0):
            raise ValueError("must be more than JWKS_REFRESH_AFTER")
        return value

    @field_validator("better_auth_url", "jwks_url")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        if value is not None and _http_url(value) is None:
            raise ValueError("is no http or https URL")
        return value

    @field_validator("jwks_url")
    @classmethod
    def _issuer_is_configured(cls, value: str | None, info: ValidationInfo) -> str | None:
        """Check the four settings together, here so that other settings' errors are shown too."""
        values = {**info.data, "jwks_url": value}
        parts = ("jwt_issuer", "jwt_audience", "jwks_url")
        if values.get("better_auth_url", "wrong") is None and None in map(values.get, parts):
            raise ValueError(
                "BETTER_AUTH_URL: set it, or all of JWT_ISSUER, JWT_AUDIENCE, JWKS_URL"
            )
        keys = urlsplit(value or values.get("better_auth_url") or "https://")
        if (
            keys.scheme == "http"
            and not values.get("jwks_allow_http", True)
            and not _is_loopback(keys.hostname)
        ):
            raise ValueError("JWKS_URL: keys over plain http need JWKS_ALLOW_HTTP=true")
        return value

    @property
    def issuer(self) -> str:
        """The `iss` that tokens must have: by default the origin of Better Auth's base URL."""
        return self.jwt_issuer or _origin(self.better_auth_url)

    @property
    def audience(self) -> str:
        """The `aud` that tokens must have: by default the origin of Better Auth's base URL."""
        return self.jwt_audience or _origin(self.better_auth_url)

    @property
    def keys_url(self) -> str:
        """The URL of the keys; a base URL's path replaces Better Auth's default `/api/auth`."""
        if self.jwks_url is not None:
            return self.jwks_url
        base = (self.better_auth_url or "").rstrip("/")
        return f"{base}/jwks" if urlsplit(base).path else f"{base}/api/auth/jwks"


def load(kind: type[DatabaseSettings] = Settings, **values: Any) -> Any:
    """Return the settings from the environment and `.env`.

    Raises SettingsError with a line for each missing or wrong setting; no line contains a value.
    """
    try:
        return kind(**values)
    except ValidationError as error:
        lines = []
        for entry in error.errors(include_input=False, include_url=False):
            name = ".".join(str(part) for part in entry["loc"][:1]).upper()
            message = "is not set" if entry["type"] == "missing" else entry["msg"]
            message = message.removeprefix("Value error, ")
            lines.append(message if re.match("[A-Z_]+: ", message) else f"{name}: {message}")
        raise SettingsError("\n".join(lines)) from None


def _http_url(value: str) -> SplitResult | None:
    try:
        parts = urlsplit(value)
        _ = parts.port
    except ValueError:
        return None
    return parts if parts.scheme in {"http", "https"} and parts.hostname else None


def _origin(url: str | None) -> str:
    """Return scheme, host and any non-default port, as JavaScript's URL does."""
    parts = urlsplit(url or "")
    host = parts.hostname or ""
    if ":" in host:
        host = f"[{host}]"
    default = {"http": 80, "https": 443}.get(parts.scheme)
    return f"{parts.scheme}://{host}" + (
        f":{parts.port}" if parts.port not in {None, default} else ""
    )


def _is_port(text: str) -> bool:
    return not text or (text.isascii() and text.isdigit() and 0 < int(text) < 2**16)


def _is_host(text: str) -> bool:
    """Return whether a name can be resolved, or is the directory of a socket."""
    try:
        text.encode("idna")
    except UnicodeError:
        return text.startswith(("/", "@"))
    return True


def _is_loopback(host: str | None) -> bool:
    try:
        return ipaddress.ip_address(host or "").is_loopback
    except ValueError:
        return host == "localhost" or str(host).endswith(".localhost")
