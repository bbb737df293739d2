"""Everything that is run on this project, as sessions: `nox -l` is the menu.

`uvx nox -s dev` and `uvx nox -s tests` need only uv; with Python and pip alone, see the README.
"""

import os
import shutil
from pathlib import Path

import nox

nox.needs_version = ">=2025.10.14"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.sessions = ["tests", "lint", "types"]

PROJECT = nox.project.load_toml("pyproject.toml")


def group(name: str) -> list[str]:
    """Return the requirements of a dependency group."""
    return list(nox.project.dependency_groups(PROJECT, name))


def require_node(session: nox.Session) -> None:
    """Skip the session where Node.js is missing, unless this is CI: then it fails."""
    if shutil.which("npm") is None:
        missing = session.error if session.env.get("CI") else session.skip
        missing("Node.js and npm are not installed")


@nox.session
def dev(session: nox.Session) -> None:
    """Start the service on an embedded PostgreSQL, with a token to try (arguments: tasks-backend dev --help)."""
    session.install("-e", ".[dev]")
    session.run("tasks-backend", "dev", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Pass the tests, on an embedded PostgreSQL (arguments go to pytest); in CI, measure coverage.

    That is half as long again.
    """
    session.install("-e", ".[dev,observability]", *group("test"))
    parallel = ["-n", "4"]  # also on two cores: many tests wait for something
    if not session.env.get("CI"):
        session.run("pytest", *parallel, *session.posargs)
        return
    session.run("coverage", "erase")
    session.run("coverage", "run", "-m", "pytest", *parallel, *session.posargs)
    session.run("coverage", "combine", "-q")
    session.run("coverage", "report")


@nox.session(venv_backend="uv")
def floors(session: nox.Session) -> None:
    """Pass the tests with the oldest dependencies that the package says it takes."""
    session.install("--resolution=lowest-direct", "-e", ".[dev,observability]", *group("test"))
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
    session.install(
        *("-e", ".[dev,observability]"),
        *(*group("test"), *group("fuzz"), *group("browser"), *group("types")),
    )
    session.run("mypy")


@nox.session
def fuzz(session: nox.Session) -> None:
    """Throw Schemathesis at a running service, all checks on."""
    session.install("-e", ".[dev]", *group("test"), *group("fuzz"))
    session.run("pytest", "tests/fuzz", *session.posargs)


@nox.session
def browser(session: nox.Session) -> None:
    """Use the documentation page and CORS in a real browser (needs chromium; --screenshots DIR)."""
    if shutil.which("chromium") is None:
        missing = session.error if session.env.get("CI") else session.skip
        missing("chromium is not installed: apt-get install chromium")
    session.install("-e", ".[dev]", *group("test"), *group("browser"))
    screenshots = f"--screenshots={session.virtualenv.location}/screenshots"
    session.run("pytest", "tests/browser", screenshots, *session.posargs)


@nox.session
def faults(session: nox.Session) -> None:
    """Break PostgreSQL, PgBouncer, network and workers under load (needs pgbouncer; --faults-seconds)."""
    if shutil.which("pgbouncer") is None and shutil.which("pgbouncer", path="/usr/sbin") is None:
        missing = session.error if session.env.get("CI") else session.skip
        missing("PgBouncer is not installed: apt-get install pgbouncer")
    session.install("-e", ".[dev]", *group("test"), *group("faults"))
    report = Path(session.create_tmp()).resolve() / "report.md"
    session.run("pytest", "tests/faults", "-s", f"--faults-report={report}", *session.posargs)


@nox.session
def proxies(session: nox.Session) -> None:
    """Stand behind real proxies: smuggling, and everyday use (needs nginx, caddy, haproxy, apache2, curl)."""
    names = ("nginx", "caddy", "haproxy", "apache2", "curl")
    system = f"{os.environ['PATH']}{os.pathsep}/usr/sbin"  # Debian puts some where only root looks
    if absent := [name for name in names if shutil.which(name, path=system) is None]:
        missing = session.error if session.env.get("CI") else session.skip
        missing(f"not installed: {', '.join(absent)}")
    session.install("-e", ".[dev]", *group("test"))
    report = Path(session.create_tmp()).resolve() / "report.md"
    session.run("pytest", "tests/proxies", f"--proxies-report={report}", *session.posargs)


@nox.session
def overload(session: nox.Session) -> None:
    """Ask for more than the service can do, and see who gets what (--overload-seconds)."""
    session.install("-e", ".[dev]", *group("test"))
    session.run("pytest", "tests/overload", "-s", *session.posargs)


@nox.session
def siege(session: nox.Session) -> None:
    """Attack the service in every known way, beside honest users (--siege-seconds, -only, -each, -workers)."""
    session.install("-e", ".[dev,observability]", *group("test"), *group("faults"))
    session.run("pytest", "tests/siege", "-s", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure the cost of a request beside peers (needs wrk, uv, Node.js; --bench-seconds, -rounds, -peers, -rows, -delays, -requests)."""
    if shutil.which("wrk") is None:
        missing = session.error if session.env.get("CI") else session.skip
        missing("wrk is not installed: apt-get install wrk")
    session.install("-e", ".[dev]", *group("test"))
    report = Path(session.create_tmp()).resolve() / "report.md"
    named = any(argument.startswith("tests/benchmarks") for argument in session.posargs)
    where = [] if named else ["tests/benchmarks"]
    session.run("pytest", *where, "-s", f"--bench-report={report}", *session.posargs)


@nox.session(name="api-lint")
def api_lint(session: nox.Session) -> None:
    """Lint the OpenAPI document with Redocly and Spectral (needs Node.js)."""
    require_node(session)
    session.install("-e", ".[dev]", *group("test"))
    session.run("pytest", "tests/api_lint", *session.posargs)


@nox.session
def postman(session: nox.Session) -> None:
    """Run the Postman collection, whole and against a service in trouble (needs Node.js)."""
    require_node(session)
    session.install("-e", ".[dev]", *group("test"))
    session.run("pytest", "tests/postman", *session.posargs)


@nox.session(name="better-auth")
def better_auth(session: nox.Session) -> None:
    """Work with a real Better Auth server: sign-up, tokens, rotation, deletion (needs Node.js)."""
    require_node(session)
    session.install("-e", ".[dev]", *group("test"))
    session.run("pytest", "tests/better_auth", "-s", *session.posargs)


@nox.session
def typescript(session: nox.Session) -> None:
    """Generate the TypeScript client, compile it and run it in a real Next.js (needs Node.js)."""
    require_node(session)
    session.install("-e", ".[dev]", *group("test"))
    session.run("pytest", "tests/typescript", "-s", *session.posargs)


@nox.session
def plugin(session: nox.Session) -> None:
    """Build a plugin of somebody else's, install it from its wheel and try it, whole and broken."""
    session.install("hatchling")
    wheels = Path(session.create_tmp()).resolve()
    for built in wheels.glob("*.whl"):
        built.unlink()
    for source in (".", "tests/plugin/audit", "tests/plugin/broken"):
        with session.chdir(source):
            session.run("hatchling", "build", "-t", "wheel", "-d", str(wheels), silent=True)
    (service,) = wheels.glob("tasks_backend-*.whl")
    others = [str(wheel) for wheel in wheels.glob("tasks_backend_*.whl")]
    session.install(f"{service}[dev]", *others, *group("test"))
    session.run("pytest", "tests/plugin", "-p", "no:cacheprovider", *session.posargs)
