"""pgbench's messages have the effect of the service's messages, with either protocol."""

from pathlib import Path

import pytest

from benchmarks.data import SERVICE, Data
from benchmarks.pgbench import Pgbench
from benchmarks.servers import SERVERS, Server

LIMITS = [server for server in SERVERS if server.protocol]


@pytest.mark.parametrize("operation", ["create", "patch", "toggle"])
@pytest.mark.parametrize("server", LIMITS, ids=lambda server: server.protocol)
def test_each_message_changes_one_task(
    server: Server, operation: str, database: str, data: Data, tmp_path: Path
) -> None:
    pgbench = Pgbench(server, database, data.sample(1), tmp_path)
    before = data.versions(SERVICE)
    burst = pgbench.send(operation, tmp_path, 1)
    after = data.versions(SERVICE)
    data.tidy(SERVICE)
    assert after - before == burst.requests > 0
