"""From the first release to this one and back under load: no request fails."""

import contextlib
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.commands import COMMAND, environment, process
from support.programs import output

from tasks_backend.testing.databases import NEON_OWNER, Cluster
from tasks_backend.testing.key_server import KeyServer
from tasks_backend.testing.signing import AUDIENCE, ISSUER, Signer
from upgrade.load import Load

FILL = """
INSERT INTO tasks_backend.users (id) SELECT 'u' || n FROM generate_series(0, 99) AS n;
INSERT INTO tasks_backend.tasks (id, user_id, title)
SELECT gen_random_uuid(), 'u' || n % 100, 'A title' FROM generate_series(1, {rows}) AS n
"""


@pytest.mark.timeout(1200)
@pytest.mark.proves("FR-007", "SC-005")
def test_an_upgrade_and_a_rollback_fail_no_request(
    request: pytest.FixtureRequest,
    cluster: Cluster,
    key_server: KeyServer,
    signer: Signer,
    old_python: str,
    tmp_path: Path,
) -> None:
    name, url = cluster.database(cluster.login(NEON_OWNER))
    variables = {
        "DATABASE_URL": url,
        "JWT_ISSUER": ISSUER,
        "JWT_AUDIENCE": AUDIENCE,
        "JWKS_URL": key_server.url,
        "JWKS_ALLOW_HTTP": "true",
    }
    old, new = (old_python, "-m", "tasks_backend"), COMMAND

    def run(command: tuple[str, ...], *arguments: str) -> str:
        return output(
            *command,
            *arguments,
            environment=environment(tmp_path, **variables),
            directory=tmp_path,
            timeout=300,
        )

    run(old, "migrate")
    with cluster.cursor(name) as cursor:
        cursor.execute(FILL.format(rows=request.config.getoption("upgrade_rows")))
        cursor.execute("VACUUM ANALYZE tasks_backend.tasks")
    load = Load(signer.token("u0"), [])
    durations: dict[str, float] = {}

    def during(phase: str, *command: str) -> None:
        load.phase = phase
        began = time.monotonic()
        if command:
            run(new, *command)
        else:
            time.sleep(request.config.getoption("upgrade_seconds"))
        durations[phase] = time.monotonic() - began

    @contextlib.contextmanager
    def service(kind: str, command: tuple[str, ...]) -> Iterator[None]:
        """One of the services; at its end it gets no new requests, then ends as usual."""
        home = tmp_path / f"{kind}-{len(durations)}"
        home.mkdir()
        with process(home, command=command, ready="/readyz", **variables) as (program, base):
            load.services.append(base)
            yield
            load.services.remove(base)
            program.stop(signal.SIGTERM)

    with contextlib.ExitStack() as stack:
        first_old = stack.enter_context(contextlib.ExitStack())
        first_new = stack.enter_context(contextlib.ExitStack())
        first_old.enter_context(service("old", old))
        with load.running():
            during("old release")
            during("migrate", "migrate")
            during("old release on the new schema")
            first_new.enter_context(service("new", new))
            during("both releases")
            first_old.close()
            during("new release")
            stack.enter_context(service("old", old))
            during("both again")
            first_new.close()
            during("old release again")
            during("migrate --to 0002", "migrate", "--to", "0002", "--yes")
            during("old release on the old schema")
    sys.stdout.write(load.report(durations))
    assert load.failures() == []
    assert {phase for phase, _, _ in load.answers} >= {*durations}
