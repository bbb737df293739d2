"""Tasks, the plugin that the service is for. It has no door that a stranger's plugin has not."""

from tasks_backend.plugin import Plugin
from tasks_backend.tasks.v1 import router as v1

plugin = Plugin(name="tasks", routers={"v1": v1})
