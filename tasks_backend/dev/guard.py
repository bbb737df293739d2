"""Run a server, and stop it when standard input ends. Executed as a file; imports nothing else of ours.

`dev` holds the other end of standard input. The system closes it when `dev` is gone, whatever ended
it. This process has a session of its own, so no Ctrl-C and no closed terminal reaches it.
"""

import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from threading import Thread

STOPS = (("SIGINT", 4.0), ("SIGQUIT", 2.0), ("SIGKILL", 2.0))
"""PostgreSQL's fast shutdown, its immediate one, and the last resort; each with seconds to wait."""


def run(user: str, command: list[str]) -> int:
    """Run the server as a user of the system ("" for this one). Return its exit code."""
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL, user=user or None)  # noqa: S603 - from `dev`

    def stop_at_end_of_input() -> None:
        sys.stdin.buffer.read()
        stop(server.send_signal, server.wait, subprocess.TimeoutExpired)

    Thread(target=stop_at_end_of_input, daemon=True).start()
    return server.wait()


def stop(
    send_signal: Callable[[int], object],
    wait: Callable[[float], object],
    timeout: type[Exception],
) -> None:
    """Stop a server in order, within 8 s. `wait` raises `timeout`."""
    for name, seconds in STOPS:
        send_signal(getattr(signal, name, signal.SIGTERM))  # Windows has only SIGTERM
        with suppress(timeout):
            wait(seconds)
            return


if __name__ == "__main__":
    sys.exit(run(sys.argv[1], sys.argv[2:]))
