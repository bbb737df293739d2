"""Programs that refuse to run as root, and the processes that a program has started."""

import contextlib
import os
import pwd
from pathlib import Path

import psutil
from support.programs import Program


def children(program: Program) -> list[psutil.Process]:
    """Return all processes that it and its children have started."""
    if not program.running:
        return []
    found: list[psutil.Process] = psutil.Process(program.pid).children(recursive=True)
    return found


def workers(program: Program) -> list[psutil.Process]:
    """Return the worker processes of a service."""
    found = []
    for process in children(program):
        with contextlib.suppress(psutil.Error):
            if "spawn_main" in " ".join(process.cmdline()):
                found.append(process)
    return found


def ordinary_user() -> str | None:
    """The user for programs that refuse to run as root; None if no change is needed."""
    return "nobody" if os.geteuid() == 0 else None


def directory_of(user: str | None, path: Path) -> Path:
    """A directory that this user may write to."""
    path.mkdir(mode=0o755)
    if user is not None:
        entry = pwd.getpwnam(user)
        os.chown(path, entry.pw_uid, entry.pw_gid)
    return path
