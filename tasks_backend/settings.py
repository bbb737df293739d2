"""One frozen object with everything that a deployment decides, read from the environment."""

import ipaddress
import re
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import SplitResult, urlsplit

import psycopg2
from psycopg2.extensions import parse_dsn
from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

ASYMMETRIC_ALGORITHMS = (
    *("EdDSA", "ES256", "ES384", "ES512"),
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
)
Names = Annotated[tuple[str, ...], NoDecode]


class SettingsError(Exception):
    """The settings cannot be used. Each line of the message names one of them and says why."""


class DatabaseSettings(BaseSettings):
    """What is needed to migrate the database: where it is, and which plugins have tables in it."""

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

    @field_validator("jwt_algorithms", "cors_origins", "plugins", mode="before", check_fields=False)
    @classmethod
    def _separated_by_commas(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("database_url", "database_url_unpooled")
    @classmethod
    def _libpq_url(cls, value: str | None) -> str | None:
        """Take the URL as Neon, Heroku or SQLAlchemy write it, and give it in libpq's spelling."""
        if value is None:
            return None
        scheme, separator, rest = value.strip().partition("://")
        if separator and scheme.partition("+")[0] in {"postgres", "postgresql"}:
            value = f"postgresql://{rest}"
        try:
            known = parse_dsn(value)
        except psycopg2.ProgrammingError:
            known = {}  # libpq's own sentence may repeat the password
        if not known or not all(_is_port(port) for port in known.get("port", "5432").split(",")):
            raise ValueError("is no PostgreSQL URL (postgresql://user:password@host/database)")
        if "hostaddr" not in known and not all(map(_is_host, known.get("host", "").split(","))):
            raise ValueError(
                "has a host that cannot be a name;"
                " percent-encode what is special in the user and the password (@ is %40)"
            )
        return value

    @property
    def migration_url(self) -> str:
        """The direct address if one is set: migrations hold a session lock, poolers lose it."""
        return self.database_url_unpooled or self.database_url


class Settings(DatabaseSettings):
    """Everything that the service needs. Times are in seconds, sizes in bytes."""

    takes_development_keys: ClassVar[bool] = False
    """Not to be set by anybody: `tasks-backend dev` has a class of its own."""

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
    log_salt: SecretStr | None = None

    @property
    def pseudonym_salt(self) -> str:
        """What users' ids are hashed with in the log: LOG_SALT, or where the database is.

        The latter is not secret, but the same in all workers, and no change of a login or of a
        password changes it.
        """
        if self.log_salt is not None:
            return self.log_salt.get_secret_value()
        known = parse_dsn(self.database_url)
        return f"{known.get('host', '')}/{known.get('dbname', '')}"

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
    def _longer_than_fresh(cls, value: float, info: ValidationInfo) -> float:
        """Keys that expire before they are fetched anew would make everybody wait."""
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
    def _somebody_to_trust(cls, value: str | None, info: ValidationInfo) -> str | None:
        """Look at the four settings together, here so that other settings' errors show beside it."""
        known = {**info.data, "jwks_url": value}
        parts = ("jwt_issuer", "jwt_audience", "jwks_url")
        if known.get("better_auth_url", "wrong") is None and None in map(known.get, parts):
            raise ValueError(
                "BETTER_AUTH_URL: set it, or all of JWT_ISSUER, JWT_AUDIENCE, JWKS_URL"
            )
        keys = urlsplit(value or known.get("better_auth_url") or "https://")
        if (
            keys.scheme == "http"
            and not known.get("jwks_allow_http", True)
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
        """Where the keys are; a base URL with a path of its own replaces Better Auth's default."""
        if self.jwks_url is not None:
            return self.jwks_url
        base = (self.better_auth_url or "").rstrip("/")
        return f"{base}/jwks" if urlsplit(base).path else f"{base}/api/auth/jwks"


def load(kind: type[DatabaseSettings] = Settings, **values: Any) -> Any:
    """Return the settings from the environment and `.env`. Raises SettingsError, a line for each
    setting that is missing or wrong; no line repeats a value.
    """
    try:
        return kind(**values)
    except ValidationError as error:
        lines = []
        for found in error.errors(include_input=False, include_url=False):
            name = ".".join(str(part) for part in found["loc"][:1]).upper()
            message = "is not set" if found["type"] == "missing" else found["msg"]
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
    """Return scheme, host and any port that is not the scheme's own, as JavaScript's URL does."""
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
    """Whether it can be looked up, or is the directory of a socket."""
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
