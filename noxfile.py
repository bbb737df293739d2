"""All development tasks of the project, as sessions: `nox -l` lists them.

`uvx nox -s dev` and `uvx nox -s tests` need only uv; with Python and pip alone, see the README.
"""

import json
import os
import re
import shutil
import tempfile
from pathlib import Path

import nox

nox.needs_version = ">=2025.10.14"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.sessions = ["tests", "lint", "types"]

PROJECT = nox.project.load_toml("pyproject.toml")


LOCKS: dict[str, list[str]] = {
    "all": [
        "--all-extras",
        *(
            f"--group={name}"
            for name in PROJECT["dependency-groups"]
            if name not in {"release", "deploy"}
        ),
    ],
    "dev": ["--extra=dev", "--group=build"],
    "serve": ["--extra=sodium"],
    "observability": ["--extra=sodium", "--extra=observability"],
    "release": ["--group=release"],
    "deploy": ["--group=deploy"],
}
"""The files in .ci/locks, and what each of them locks beside the package's dependencies."""

PARALLEL = ("-n", "4")
"""For pytest, also on two cores: many tests mostly wait."""


def install(session: nox.Session, lock: str = "all", *, project: bool = True) -> None:
    """Install the dependencies at their locked versions, and the project."""
    session.install("--require-hashes", "-r", f".ci/locks/{lock}.txt")
    if project:
        session.install("--no-deps", "--no-build-isolation", "-e", ".")


def group(name: str) -> list[str]:
    """Return the requirements of a dependency group."""
    return list(nox.project.dependency_groups(PROJECT, name))


def unlocked() -> list[str]:
    """Return what the tests need, without the locks: the project, and ruff for new-plugin's test."""
    return ["-e", ".[dev,observability,sodium]", *group("test"), *group("lint")]


def dependencies(*extras: str) -> list[str]:
    """Return the requirements of the package and of its extras."""
    project = PROJECT["project"]
    return [
        *project["dependencies"],
        *(each for name in extras for each in project["optional-dependencies"][name]),
    ]


def require(session: nox.Session, *programs: str) -> None:
    """Skip the session if a program is not installed; in CI, fail."""
    path = f"{os.environ['PATH']}{os.pathsep}/usr/sbin"  # Debian installs some there
    if absent := [name for name in programs if shutil.which(name, path=path) is None]:
        refuse = session.error if os.environ.get("CI") else session.skip
        refuse(f"not installed: {', '.join(absent)}")


@nox.session
def dev(session: nox.Session) -> None:
    """Start the service on an embedded PostgreSQL, with a token to try (arguments: tasks-backend dev --help)."""
    install(session, "dev")
    session.run(
        "tasks-backend",
        "dev",
        "--with-parent",  # when nox is killed
        *session.posargs,
        interrupt_timeout=30.0,  # with nox's own 0.3 s, the prompt comes back before the end
        terminate_timeout=30.0,
    )


@nox.session
def tests(session: nox.Session) -> None:
    """Run the tests, on an embedded PostgreSQL (arguments go to pytest); in CI, measure coverage.

    Coverage takes half as long again.
    """
    install(session)
    if not os.environ.get("CI"):
        session.run("pytest", *PARALLEL, *session.posargs)
        return
    session.run("coverage", "erase")
    session.run("coverage", "run", "-m", "pytest", *PARALLEL, *session.posargs)
    session.run("coverage", "combine", "-q")
    session.run("coverage", "report")


@nox.session(venv_backend="uv")
def floors(session: nox.Session) -> None:
    """Run the tests with the oldest dependencies that the package allows."""
    session.install("--resolution=lowest-direct", *unlocked())
    session.run("pytest", *PARALLEL, *(session.posargs or ["tests"]))


@nox.session(venv_backend="uv")
def newest(session: nox.Session) -> None:
    """Run the tests with the newest release of everything, past the caps, pre-releases too."""
    names = [
        re.split(r"[<>=;]", each)[0].strip()
        for each in dependencies("dev", "observability", "sodium")
    ]
    overrides = Path(session.create_tmp()).resolve() / "overrides.txt"
    overrides.write_text("\n".join(names))
    unbound = ["--upgrade", "--prerelease=allow", f"--overrides={overrides}"]
    session.install(*unbound, *unlocked())
    session.run("uv", "pip", "freeze", external=True)
    session.run("pytest", *PARALLEL, *(session.posargs or ["tests"]))


@nox.session(venv_backend="uv")
def lock(session: nox.Session) -> None:
    """Renew the locks in .ci/locks: the newest releases within the caps, with hashes."""
    Path(".ci/locks").mkdir(exist_ok=True)
    compile_ = ["uv", "pip", "compile", "pyproject.toml", "--quiet", "--upgrade", "--universal"]
    form = ["--generate-hashes", "--no-annotate", "--custom-compile-command=nox -s lock"]
    for name, parts in LOCKS.items():
        agreeing = [] if name == "all" else ["--constraints=.ci/locks/all.txt"]
        output = f"--output-file=.ci/locks/{name}.txt"
        session.run(
            *compile_, "--python-version=3.11", *form, *parts, *agreeing, output, external=True
        )


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and format."""
    install(session, project=False)
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Check the types, strictly."""
    install(session)
    session.run("mypy")


@nox.session
def fuzz(session: nox.Session) -> None:
    """Fuzz a running service with Schemathesis, all checks on."""
    install(session)
    session.run("pytest", "tests/fuzz", *session.posargs)


@nox.session
def browser(session: nox.Session) -> None:
    """Test the documentation page and CORS in a real browser (needs chromium; --screenshots DIR)."""
    require(session, "chromium")
    install(session)
    screenshots = f"--screenshots={session.virtualenv.location}/screenshots"
    session.run("pytest", "tests/browser", screenshots, *session.posargs)


@nox.session
def faults(session: nox.Session) -> None:
    """Break PostgreSQL, PgBouncer, network and workers under load (needs pgbouncer; --faults-seconds)."""
    require(session, "pgbouncer")
    install(session)
    report = Path(session.create_tmp()).resolve() / "report.md"
    session.run("pytest", "tests/faults", "-s", f"--faults-report={report}", *session.posargs)


@nox.session
def proxies(session: nox.Session) -> None:
    """Test behind real proxies: smuggling, and everyday use (needs nginx, caddy, haproxy, apache2, curl)."""
    require(session, "nginx", "caddy", "haproxy", "apache2", "curl")
    install(session)
    report = Path(session.create_tmp()).resolve() / "report.md"
    session.run("pytest", "tests/proxies", f"--proxies-report={report}", *session.posargs)


@nox.session
def servers(session: nox.Session) -> None:
    """Run the service under uvicorn, gunicorn, hypercorn, granian and mangum (--write-servers renews docs/embedding.md)."""
    install(session)
    session.run("pytest", "tests/servers", *PARALLEL, "--dist=loadgroup", *session.posargs)


@nox.session
def overload(session: nox.Session) -> None:
    """Overload the service, and measure which users are served (--overload-seconds)."""
    install(session)
    session.run("pytest", "tests/overload", "-s", *session.posargs)


@nox.session
def siege(session: nox.Session) -> None:
    """Attack the service in every known way, next to normal users (--siege-seconds, -only, -each, -workers)."""
    install(session)
    session.run("pytest", "tests/siege", "-s", *session.posargs)


@nox.session
def upgrade(session: nox.Session) -> None:
    """Upgrade from the first release and back under load (--upgrade-rows, -seconds, --old-python)."""
    install(session)
    session.run("pytest", "tests/upgrade", "-s", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure the cost of a request, compared with peers (needs wrk, uv, Node.js; --against REV, --bench-seconds, -rounds, -peers, -rows, -delays, -requests)."""
    require(session, "wrk")
    install(session)
    report = Path(session.create_tmp()).resolve() / "report.md"
    has_path = any(argument.startswith("tests/benchmarks") for argument in session.posargs)
    default_path = [] if has_path else ["tests/benchmarks"]
    session.run("pytest", *default_path, "-s", f"--bench-report={report}", *session.posargs)


@nox.session(name="api-lint")
def api_lint(session: nox.Session) -> None:
    """Lint the OpenAPI document with Redocly and Spectral (needs Node.js)."""
    require(session, "npm")
    install(session)
    session.run("pytest", "tests/api_lint", *session.posargs)


@nox.session
def postman(session: nox.Session) -> None:
    """Run the Postman collection, complete and against a failing service (needs Node.js)."""
    require(session, "npm")
    install(session)
    session.run("pytest", "tests/postman", *session.posargs)


@nox.session(name="better-auth")
def better_auth(session: nox.Session) -> None:
    """Test with a real Better Auth server (needs Node.js; --better-auth VERSION; --versions and --options renew docs/auth.md)."""
    require(session, "npm")
    install(session)
    command = ["pytest", "tests/better_auth", "-s"]
    if "--options" in session.posargs:
        session.run("pytest", "tests/better_auth/measure_options.py", *PARALLEL)
    elif "--versions" in session.posargs:
        for version in _versions_of_better_auth(session):
            session.run(*command, "--write-version", f"--better-auth={version}")
    else:
        session.run(*command, *session.posargs)


def _versions_of_better_auth(session: nox.Session) -> list[str]:
    """Return the oldest supported version, and the newest of each minor version since."""
    known = session.run(
        "npm", "view", "better-auth", "versions", "--json", external=True, silent=True
    )
    oldest = (1, 6, 14)
    numbers = [
        tuple(int(number) for number in version.split("."))
        for version in json.loads(str(known))
        if re.fullmatch(r"[\d.]+", version)  # no pre-release
    ]
    newest = {each[:2]: each for each in sorted(numbers) if each >= oldest}
    return [".".join(map(str, each)) for each in sorted({oldest, *newest.values()})]


@nox.session
def typescript(session: nox.Session) -> None:
    """Generate the TypeScript client, compile it and use it in a real Next.js (needs Node.js, chromium)."""
    require(session, "npm")
    install(session)
    session.run("pytest", "tests/typescript", "-s", *session.posargs)


@nox.session
def deploy(session: nox.Session) -> None:
    """Check the operations kit in .deploy with its tools (needs promtool, systemd-analyze)."""
    require(session, "promtool", "systemd-analyze")
    install(session)
    install(session, "deploy", project=False)
    session.run("pytest", "tests/deploy", *session.posargs)


@nox.session
def generators(session: nox.Session) -> None:
    """Generate five clients, compile them and use them against the service (needs Node.js, uv, java)."""
    require(session, "npm", "uv", "java")
    install(session)
    session.run("pytest", "tests/generators", *session.posargs)


@nox.session
def plugin(session: nox.Session) -> None:
    """Build third-party plugins, install them from wheels and test them: also one of new-plugin."""
    install(session, project=False)
    with tempfile.TemporaryDirectory() as directory:  # ruff ignores what is below .nox
        _test_plugins(session, Path(directory).resolve())


def _test_plugins(session: nox.Session, wheels: Path) -> None:
    def build(*sources: str | Path) -> None:
        for source in sources:
            with session.chdir(source):
                session.run("hatchling", "build", "-t", "wheel", "-d", str(wheels), silent=True)

    plugins = [path.parent for path in sorted(Path("tests/plugin").glob("*/pyproject.toml"))]
    build(".", *plugins)
    session.install("--no-deps", *(str(wheel) for wheel in wheels.glob("*.whl")))
    session.run("tasks-backend", "new-plugin", "notes", f"--directory={wheels}")
    notes = wheels / "tasks-backend-notes"
    build(notes)
    session.install("--no-deps", *(str(wheel) for wheel in wheels.glob("tasks_backend_notes*.whl")))
    with session.chdir(notes):
        for command in ("ruff check", "ruff format --check", "mypy"):
            session.run(*command.split())
    for tested in (notes, *(path for path in plugins if (path / "tests").is_dir())):
        with session.chdir(tested):
            session.run("pytest", "-p", "no:cacheprovider")
    own = sorted(str(path) for path in Path("tests/plugin").glob("*.py"))
    session.run("pytest", "-p", "no:cacheprovider", *(session.posargs or own))
