"""`tasks-backend new-plugin`. The session `plugin` builds, installs and tests what it makes."""

import sys
from pathlib import Path

import pytest
from support.commands import run
from support.programs import attempt


def test_the_package_is_made_once_and_is_clean(tmp_path: Path) -> None:
    made = run(tmp_path, "new-plugin", "reading-list")
    assert (made.returncode, made.stderr) == (0, "")
    package = tmp_path / "tasks-backend-reading-list"
    files = [path.relative_to(package).as_posix() for path in package.rglob("*") if path.is_file()]
    assert sorted(files) == [
        ".gitignore",
        "README.md",
        "pyproject.toml",
        "tasks_backend_reading_list/__init__.py",
        "tasks_backend_reading_list/migrations/0001_items.py",
        "tasks_backend_reading_list/py.typed",
        "tasks_backend_reading_list/statements.py",
        "tasks_backend_reading_list/v1.py",
        "tests/test_tasks_backend_reading_list.py",
    ]
    assert not any(
        "@" in path.read_text().replace("@router", "").replace("@pytest", "")
        for path in package.rglob("*.py")
    )
    for arguments in (["check"], ["format", "--check"]):
        done = attempt(sys.executable, "-m", "ruff", *arguments, "--no-cache", directory=package)
        assert done.returncode == 0, done.stdout
    again = run(tmp_path, "new-plugin", "reading-list")
    assert (again.returncode, again.stderr) == (
        2,
        "error: tasks-backend-reading-list exists already\n",
    )


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        *((name, "is no name of a plugin") for name in ("", "Notes", "9a", "a_b", "a-", "a--b", "é", "a/b", "..", "x" * 41)),
        *((name, "is the name of a plugin of the service") for name in ("tasks", "metrics", "tracing")),
    ],
)  # fmt: skip
def test_a_bad_name_is_refused_with_one_sentence(tmp_path: Path, name: str, reason: str) -> None:
    refused = run(tmp_path, "new-plugin", "--", name)
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"error: {name!r} {reason}")
    assert refused.stderr.count("\n") == 1
    assert [*tmp_path.iterdir()] == []
