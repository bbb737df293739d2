"""The address that `serve` listens on: a port, or a Unix socket. An unusable one stops the start."""

import logging
import socket
import stat
from pathlib import Path

logger = logging.getLogger("tasks_backend.server")


class PortTaken(Exception):
    """The address cannot be used, for example because another process listens there."""


def require_free(host: str, port: int) -> None:
    """Raise PortTaken if the port cannot be used."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            shown = f"[{host}]" if ":" in host else host
            raise PortTaken(f"{shown}:{port}: {error.strerror}") from error


def unix_socket(path: Path) -> socket.socket:
    """Bind a Unix socket. Its file stays; the next start replaces it.

    Every user of the machine may connect, as to a port on loopback; a directory can restrict that.
    Raises PortTaken if a process listens there, if something else is there, or if no socket can be
    made there.
    """
    try:
        _remove_stale(path)
        listening = socket.socket(socket.AF_UNIX)
        try:
            listening.bind(str(path))
            path.chmod(0o666)
        except OSError:
            listening.close()
            raise
    except OSError as error:
        raise PortTaken(f"{path}: {error.strerror or error}") from error
    logger.info("listening at %s", path)
    return listening


def _remove_stale(path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise PortTaken(f"{path}: it exists, and is no socket")
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
        else:
            raise PortTaken(f"{path}: another process listens there")
