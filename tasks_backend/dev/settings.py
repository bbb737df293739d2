"""The settings of `dev`: those of `serve`, with a database of its own."""

from pydantic_settings import DotEnvSettingsSource, EnvSettingsSource

from tasks_backend.dev.issuer import ORIGIN
from tasks_backend.settings import NO_BETTER_AUTH, Names, Settings, SettingsError, load

_REPLACED = frozenset({"database_url", "database_url_unpooled"})
_OF_BETTER_AUTH = frozenset({"jwt_issuer", "jwt_audience", "jwks_url", "neon_auth_jwks_url"})


class DevelopmentSettings(Settings):
    """Pages of `next dev` may call the API, and Better Auth may be absent."""

    cors_origins: Names = ("http://localhost:3000",)

    @property
    def has_better_auth(self) -> bool:
        """Whether tokens of a Better Auth server are accepted, beside development tokens."""
        return self.better_auth_url != ORIGIN


def load_settings(database_url: str) -> DevelopmentSettings:
    """Return the settings from the environment and `.env`. Raises SettingsError."""
    own = {"database_url": database_url, "database_url_unpooled": None}
    try:
        settings: DevelopmentSettings = load(DevelopmentSettings, **own)
    except SettingsError as error:
        if NO_BETTER_AUTH not in str(error):
            raise
        settings = load(DevelopmentSettings, **own, better_auth_url=ORIGIN)
    return settings


def report(settings: DevelopmentSettings) -> list[str]:
    """Return lines for the terminal: the settings that are taken from the environment and `.env`, and
    those that are not, by the reason. There is no line for an empty group.
    """
    sources = (EnvSettingsSource(DevelopmentSettings), DotEnvSettingsSource(DevelopmentSettings))
    given = {name for source in sources for name in source()} & Settings.model_fields.keys()
    ignored = _REPLACED if settings.has_better_auth else _REPLACED | _OF_BETTER_AUTH
    lines = []
    if taken := _names(given - ignored):
        lines.append(f"Settings taken from the environment and .env: {taken}")
    if replaced := _names(given & _REPLACED):
        lines.append(f"Not taken: {replaced} (`dev` has a PostgreSQL of its own)")
    if incomplete := _names(given & ignored - _REPLACED):
        lines.append(f"Not taken: {incomplete} (set BETTER_AUTH_URL, or all three)")
    return lines


def _names(names: set[str]) -> str:
    return ", ".join(sorted(name.upper() for name in names))
