"""The first release, in an environment of its own."""

import io
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from support.programs import output

FIRST_RELEASE = "83fd0c6"  # 0.1.0 of 2026-11-21
REPOSITORY = Path(__file__).parents[2]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--old-python", help="a Python with the first release; else it is installed")
    parser.addoption("--upgrade-rows", type=int, default=200_000, help="tasks that exist before")
    parser.addoption("--upgrade-seconds", type=float, default=5.0, help="seconds in each state")


@pytest.fixture(scope="session")
def old_python(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The Python of an environment with the first release."""
    if given := request.config.getoption("old_python"):
        return str(given)
    home = tmp_path_factory.mktemp("old")
    archive = subprocess.run(
        ["git", "archive", FIRST_RELEASE], cwd=REPOSITORY, capture_output=True, check=True
    )
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(home / "source", filter="data")
    output(sys.executable, "-m", "venv", str(home / "environment"), timeout=120)
    python = str(home / "environment/bin/python")
    output(python, "-m", "pip", "install", "--quiet", str(home / "source"), timeout=600)
    return python
