"""A plugin for another release."""

from tasks_backend import no_such_name  # type: ignore[attr-defined] # the defect of this plugin

plugin = no_such_name
