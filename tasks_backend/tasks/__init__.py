"""The tasks plugin. It is registered exactly like a third-party plugin."""

from tasks_backend.plugin import Plugin
from tasks_backend.tasks.v1 import router as v1

plugin = Plugin(name="tasks", routers={"v1": v1})
