"""Node programs in the versions that package.json pins, each set in a separate directory."""

import os
import shutil
import subprocess
from pathlib import Path

from support.programs import require

NPM_TIMEOUT = 300  # seconds
_QUIET = {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true", "NO_COLOR": "1"}


def installed(package: Path, directory: Path) -> Path:
    """Install the packages of a package.json into a directory; return the programs' directory.

    Skips the test without Node.js; in CI it fails.
    """
    require("node", "npm")
    shutil.copy(package, directory)
    options = "--no-audit --no-fund --loglevel=error --no-package-lock"
    run(directory, "npm", "install", *options.split())
    return directory / "node_modules" / ".bin"


def run(
    directory: Path, *command: str | Path, check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, in a directory; `stdout` has all its output."""
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
