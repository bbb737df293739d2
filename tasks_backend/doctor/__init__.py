"""Diagnose why the service does not work or rejects a token, and advise what to do.

The verdicts come from the service's own settings, connections, statements, key set and token rules.
Additional checks only explain them. Findings contain no secrets and no personal data.
"""

from tasks_backend.doctor.diagnosis import diagnose
from tasks_backend.doctor.report import as_json, as_lines, exit_code, write_table

__all__ = ["as_json", "as_lines", "diagnose", "exit_code", "write_table"]
