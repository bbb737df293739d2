"""`tasks-backend new-plugin`: a package with one resource that passes its own tests."""

import re
from importlib.resources import files
from pathlib import Path

from tasks_backend.settings import SettingsError

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_MAX_NAME = 40
_TAKEN = {"tasks", "metrics", "tracing"}
_FILES = {
    "pyproject.toml": "pyproject.toml",
    "README.md": "README.md",
    ".gitignore": "gitignore",
    "@module@/__init__.py": "init.py",
    "@module@/py.typed": None,
    "@module@/statements.py": "statements.py",
    "@module@/v1.py": "v1.py",
    "@module@/migrations/0001_items.py": "migration.py",
    "tests/test_@module@.py": "test.py",
}
"""The files of the package, and the templates that they are made from."""


class NewPluginError(SettingsError):
    """The package cannot be made. The message is one sentence."""


def make(name: str, parent: Path) -> Path:
    """Make the package `tasks-backend-<name>` in a directory, and return its path.

    Raises NewPluginError for a name that no plugin may have, and if the package's directory exists
    or cannot be written.
    """
    if not _NAME.fullmatch(name) or len(name) > _MAX_NAME:
        raise NewPluginError(
            f"{name!r} is no name of a plugin: lower-case letters, digits and single hyphens,"
            f" beginning with a letter, {_MAX_NAME} at most"
        )
    if name in _TAKEN:
        raise NewPluginError(f"{name!r} is the name of a plugin of the service")
    package = parent / f"tasks-backend-{name}"
    module = f"tasks_backend_{name.replace('-', '_')}"
    try:
        package.mkdir(parents=True)
        for path, template in _FILES.items():
            file = package / path.replace("@module@", module)
            file.parent.mkdir(parents=True, exist_ok=True)
            text = "" if template is None else _template(template)
            file.write_text(text.replace("@module@", module).replace("@name@", name))
    except FileExistsError:
        raise NewPluginError(f"{package} exists already") from None
    except OSError as error:
        raise NewPluginError(f"{package} cannot be written: {error.strerror}") from error
    return package


def _template(name: str) -> str:
    return (files(__name__) / "template" / f"{name}.txt").read_text()
