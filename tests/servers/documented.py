"""The table of servers in docs/embedding.md."""

import re
from importlib.metadata import version

from servers.kinds import SERVERS

MARKERS = re.compile(r"(?<=<!-- servers -->\n).*(?=<!-- end of servers -->)", re.DOTALL)
HEAD = ("server", "version", "command", "what differs")


def rows() -> str:
    """Return the table of all servers, between the markers."""
    shown = {"app": "APP", "protocol": "PROTOCOL", "port": 8000, "socket": "/run/tasks/api.sock"}
    lines = [
        (
            kind.name,
            version(kind.distribution) if kind.distribution != "tasks-backend" else "",
            f"`{kind.command.format(**shown)}`",
            " ".join(filter(None, [*kind.differs.values(), kind.remark])),
        )
        for kind in SERVERS
    ]
    table = [HEAD, ("---",) * len(HEAD), *lines]
    return "\n" + "".join(f"| {' | '.join(line)} |\n" for line in table) + "\n"
