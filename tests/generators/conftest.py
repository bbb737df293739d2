"""The five clients, generated from the service's document and compiled."""

import json
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.documents import document
from support.node import NPM_TIMEOUT, installed
from support.programs import attempt, output, require

HERE = Path(__file__).parent
TIMEOUT = 180  # seconds, for one program on a busy machine
GENERATORS = [
    "openapi-typescript openapi.json --default-non-nullable=false -o generated/openapi-typescript.ts",
    "openapi-ts -i openapi.json -o generated/hey-api -c @hey-api/client-fetch",
    "orval --config orval.config.cjs",
    "openapi-python-client generate --path=openapi.json --output-path=first",
    "openapi-generator-cli generate -g python -i openapi.json -o second --package-name=tasks_client",
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.timeout(2 * NPM_TIMEOUT + 8 * TIMEOUT))


@dataclass(frozen=True)
class Workshop:
    """A directory with the generators, what they made, and the programs that use it."""

    directory: Path

    def run(self, *command: str, **environment: str) -> str:
        """Run a program to its end, which must be good."""
        return output(
            *command, directory=self.directory, environment=self._with(environment), timeout=TIMEOUT
        )

    def complaints(self, *command: str) -> str:
        """What a compiler says; empty if it has nothing to say."""
        done = attempt(
            *command, directory=self.directory, environment=self._with({}), timeout=TIMEOUT
        )
        return "" if done.returncode == 0 else done.stdout + done.stderr

    def _with(self, environment: dict[str, str]) -> dict[str, str]:
        places = f"{self.directory}/.venv/bin{os.pathsep}{self.directory}/node_modules/.bin"
        path = f"{places}{os.pathsep}{os.environ['PATH']}"
        modules = f"first{os.pathsep}second"
        return os.environ | {"PATH": path, "PYTHONPATH": modules} | environment


@pytest.fixture(scope="session")
def openapi() -> dict[str, Any]:
    """The service's document."""
    return dict(document())


@pytest.fixture(scope="session")
def workshop(openapi: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """The generators, installed, and their clients."""
    require("uv", "java")
    workshop = Workshop(tmp_path_factory.mktemp("generators"))
    installed(HERE / "package.json", workshop.directory)
    workshop.run("uv", "venv", "--quiet", "--python", sys.executable, ".venv")
    packages = ("--python", ".venv/bin/python", "-r", f"{HERE}/requirements.txt")
    workshop.run("uv", "pip", "install", "--quiet", *packages)
    for name in ("orval.config.cjs", "tsconfig.json"):
        shutil.copy(HERE / name, workshop.directory)
    caches = shutil.ignore_patterns("__pycache__")
    shutil.copytree(HERE / "clients", workshop.directory / "clients", ignore=caches)
    (workshop.directory / "openapi.json").write_text(json.dumps(openapi))
    for command in GENERATORS:
        workshop.run(*command.split())
    return workshop
