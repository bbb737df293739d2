"""Programs that are not Python packages."""

import os
import shutil

import pytest


def require(*programs: str) -> None:
    """Skip a test without this program; in CI it fails."""
    if missing := [program for program in programs if shutil.which(program) is None]:
        refuse = pytest.fail if os.environ.get("CI") else pytest.skip
        refuse(f"not installed: {', '.join(missing)}")
