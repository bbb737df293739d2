"""Everything that is run on this project, as sessions: `nox -l` is the menu.

`uvx nox -s dev` and `uvx nox -s tests` need only uv; with Python and pip alone, see the README.
"""

import shutil

import nox

nox.needs_version = ">=2025.10.14"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.sessions = ["tests", "lint", "types"]

PROJECT = nox.project.load_toml("pyproject.toml")


def group(name: str) -> list[str]:
    """Return the requirements of a dependency group."""
    return list(nox.project.dependency_groups(PROJECT, name))


@nox.session
def dev(session: nox.Session) -> None:
    """Start the service on an embedded PostgreSQL, with a token to try (arguments: tasks-backend dev --help)."""
    session.install("-e", ".[dev]")
    session.run("tasks-backend", "dev", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Pass the tests, on an embedded PostgreSQL (arguments go to pytest)."""
    session.install("-e", ".[dev]", *group("test"))
    session.run("coverage", "erase")
    parallel = ["-n", "auto", "--maxprocesses", "4"]
    session.run("coverage", "run", "-m", "pytest", *parallel, *session.posargs)
    session.run("coverage", "combine", "-q")
    if not session.posargs:
        session.run("coverage", "report")


@nox.session(venv_backend="uv")
def floors(session: nox.Session) -> None:
    """Pass the tests with the oldest dependencies that the package says it takes."""
    session.install("--resolution=lowest-direct", "-e", ".[dev]", *group("test"))
    session.run("pytest", "-p", "no:cacheprovider", *(session.posargs or ["tests"]))


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and format."""
    session.install(*group("lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Check the types, strictly."""
    session.install("-e", ".[dev]", *group("test"), *group("fuzz"), *group("types"))
    session.run("mypy")


@nox.session
def fuzz(session: nox.Session) -> None:
    """Throw Schemathesis at a running service, all checks on."""
    session.install("-e", ".[dev]", *group("test"), *group("fuzz"))
    session.run("pytest", "tests/fuzz", *session.posargs)


@nox.session(name="better-auth")
def better_auth(session: nox.Session) -> None:
    """Work with a real Better Auth server: sign-up, tokens, rotation, deletion (needs Node.js)."""
    if shutil.which("npm") is None:
        missing = session.error if session.env.get("CI") else session.skip
        missing("Node.js and npm are not installed")
    session.install("-e", ".[dev]", *group("test"))
    session.run("pytest", "tests/better_auth", "-s", *session.posargs)
