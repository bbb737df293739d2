"""The built package, installed alone: what a deployment gets."""

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest
from support.databases import NEON_OWNER, Cluster

MIGRATE = """
import sys
import tasks_backend
from tasks_backend.cli import main
assert "env" in tasks_backend.__file__
sys.argv[1:] = ["migrate"]
main()
"""
ROOT = Path(__file__).parents[1]


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


def test_the_wheel_has_the_types_and_the_migrations_and_no_tests(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert "tasks_backend/py.typed" in names
    assert "tasks_backend/migrations/env.py" in names
    assert "tasks_backend/migrations/versions/2026_11_21_0001_tasks.py" in names
    assert {name.split("/")[0] for name in names} == {
        "tasks_backend",
        next(name.split("/")[0] for name in names if ".dist-info" in name),
    }


@pytest.mark.proves("SC-007", "FR-007")
def test_migrate_works_where_only_the_package_is_installed(
    wheel: Path, tmp_path: Path, cluster: Cluster
) -> None:
    """The dependencies are this environment's; the package is the wheel's and not the checkout's."""
    venv.create(tmp_path / "env", with_pip=False)
    python = tmp_path / "env" / "bin" / "python"
    site = next((tmp_path / "env" / "lib").glob("python*")) / "site-packages"
    zipfile.ZipFile(wheel).extractall(site)
    here = next(path for path in sys.path if path.endswith("site-packages"))
    (site / "dependencies.pth").write_text(f"import sys; sys.path.append({here!r})\n")
    _, url = cluster.database(cluster.login(NEON_OWNER))
    result = subprocess.run(
        [
            *(str(python), "-c"),
            MIGRATE,
        ],
        env={"DATABASE_URL": url, "HOME": str(tmp_path), "PATH": ""},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (result.returncode, result.stdout) == (0, "The schema is at revision 0001.\n"), (
        result.stderr
    )
