"""What keeps the service from working, or a token from being taken, and what to do about it.

The verdicts are the service's own: its settings, connections, statements, key set and token rules.
What is examined besides only explains them. No finding has a secret in it, or anything about a
person.
"""

from tasks_backend.doctor.diagnosis import diagnose
from tasks_backend.doctor.report import as_json, as_lines, exit_code, write_table

__all__ = ["as_json", "as_lines", "diagnose", "exit_code", "write_table"]
