"""The warning of every former name, and the version that removes them all."""

import warnings

REMOVED_IN = "0.4.0"


def warn_of_former_name(former: str, name: str) -> None:
    """Warn the caller's caller that it uses a former name."""
    text = f"{former} is now {name}; tasks_backend {REMOVED_IN} removes the former name"
    warnings.warn(text, DeprecationWarning, stacklevel=3)
