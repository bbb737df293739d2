"""The installation of a peer's packages."""

import shutil
import sys
from pathlib import Path

from support.programs import output

INSTALL_TIMEOUT = 300  # seconds


def install(source: Path, directory: Path) -> None:
    """Copy a peer's files to a directory and install their packages there.

    Of the npm scripts, only the peer's `build` is run, if it exists.
    """
    shutil.copytree(source, directory, ignore=shutil.ignore_patterns("__pycache__"))
    if (directory / "package.json").exists():
        quiet = ("--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts")
        _run("npm", "install", *quiet, cwd=directory)
        _run("npm", "run", "build", "--if-present", cwd=directory)
    else:
        _run("uv", "venv", "--quiet", "--python", sys.executable, ".venv", cwd=directory)
        packages = ("--python", ".venv/bin/python", "-r", "requirements.txt")
        _run("uv", "pip", "install", "--quiet", *packages, cwd=directory)


def _run(*command: str, cwd: Path) -> None:
    output(*command, directory=cwd, timeout=INSTALL_TIMEOUT)
