"""Node's programs, each as its package.json pins it, installed in a directory of their own."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

NPM_TIMEOUT = 300  # seconds
_QUIET = {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true", "NO_COLOR": "1"}


def installed(package: Path, directory: Path) -> Path:
    """Install what a package.json names into a directory; return where the programs are.

    Skips the test where there is no Node.js, unless this is CI: then it fails.
    """
    if missing := [program for program in ("node", "npm") if shutil.which(program) is None]:
        reason = f"Node.js is needed: {' and '.join(missing)} not found"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    shutil.copy(package, directory)
    run(
        directory,
        "npm",
        "install",
        "--no-audit",
        "--no-fund",
        "--loglevel=error",
        "--no-package-lock",
    )
    return directory / "node_modules" / ".bin"


def run(
    directory: Path, *command: str | Path, check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, in a directory; what it says is in `stdout`."""
    done = subprocess.run(
        command,
        cwd=directory,
        env={**os.environ, **_QUIET},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=NPM_TIMEOUT,
        check=False,
    )
    assert done.returncode == 0 or not check, f"{command}: {done.stdout}"
    return done
