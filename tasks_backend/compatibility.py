"""Guards around interfaces of libraries that are not documented.

Where the package overrides a library's methods, a new release could stop calling them, and the override would be
dead without an error. A guard stops the import instead. The caps in pyproject.toml are the other half (decision 0019).
"""

import inspect
from collections.abc import Callable
from importlib.metadata import version
from typing import TypeVar

Kind = TypeVar("Kind", bound=type)


class IncompatibleLibrary(ImportError):
    """A library does not work as the package was tested with. Names it, its version and what."""

    def __init__(self, library: str, what: str) -> None:
        super().__init__(
            f"{library} {version(library)} has no {what} as tasks_backend uses it: install a version"
            " within the caps of tasks_backend's requirements"
        )


def overrides(library: str, base: type, *methods: str) -> Callable[[Kind], Kind]:
    """Return a decorator that checks a subclass of a library's class.

    Each method must exist in `base` with the parameters that it has in the subclass. Raises
    IncompatibleLibrary.
    """

    def checked(kind: Kind) -> Kind:
        for name in methods:
            theirs = getattr(base, name, None)
            if theirs is None or _parameters(theirs) != _parameters(getattr(kind, name)):
                raise IncompatibleLibrary(library, f"{base.__name__}.{name}")
        return kind

    return checked


def require_attributes(library: str, kind: type, *names: str) -> None:
    """Raise IncompatibleLibrary if the methods of a library's class do not use these attributes."""
    functions = [member for member in vars(kind).values() if inspect.isfunction(member)]
    used = {name for function in functions for name in function.__code__.co_names}
    for name in names:
        if name not in used:
            raise IncompatibleLibrary(library, f"{kind.__name__}.{name}")


def _parameters(function: Callable[..., object]) -> list[str]:
    return list(inspect.signature(function).parameters)
