"""A plugin that was written for another release."""

from tasks_backend import no_such_name  # type: ignore[attr-defined] # what is broken here

plugin = no_such_name
