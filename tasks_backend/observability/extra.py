"""Report that the extra of these plugins is not installed."""

from collections.abc import Iterator
from contextlib import contextmanager

from tasks_backend.plugin import PluginError


@contextmanager
def require_extra(plugin: str) -> Iterator[None]:
    """Turn an ImportError in the block into a PluginError that names the extra."""
    try:
        yield
    except ImportError as error:
        raise PluginError(
            f"plugin {plugin!r} needs the extra `observability` ({error.name} is missing): "
            "pip install 'tasks-backend[observability]'"
        ) from error
