"""What these plugins say where their extra is not installed."""

from collections.abc import Iterator
from contextlib import contextmanager

from tasks_backend.plugin import PluginError


@contextmanager
def needed_by(plugin: str) -> Iterator[None]:
    """Raise PluginError, naming the extra, for an import within that fails."""
    try:
        yield
    except ImportError as error:
        raise PluginError(
            f"plugin {plugin!r} needs the extra `observability` ({error.name} is missing): "
            "pip install 'tasks-backend[observability]'"
        ) from error
