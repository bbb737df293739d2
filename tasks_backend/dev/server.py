"""What `tasks-backend dev` does: everything that the service needs, started and stopped with it."""

import os
import shlex
import sys
from pathlib import Path

import tasks_backend
from tasks_backend import server
from tasks_backend.db import migrations
from tasks_backend.dev.issuer import KEYS_PATH, ORIGIN, Issuer
from tasks_backend.dev.postgres import data_directory, embedded

USER = "alice"
TOKEN_TTL = 24 * 3600  # seconds: long enough to try things without a thought


def run(*, port: int, directory: Path) -> None:
    """Serve on loopback until interrupted; the data stays in the directory.

    Raises DevelopmentError, PortTaken or MigrationError.
    """
    server.require_free("127.0.0.1", port)
    with data_directory(directory) as data, embedded(data / "postgres") as url:
        migrations.upgrade(url)
        issuer = Issuer(data)
        issuer.make_key()
        keys = issuer.serve()
        os.environ |= {
            "DATABASE_URL": url,
            "JWT_ISSUER": ORIGIN,
            "JWT_AUDIENCE": ORIGIN,
            "JWKS_URL": f"http://127.0.0.1:{keys.server_port}{KEYS_PATH}",
        }
        print(_welcome(port, directory, issuer.token(USER, ttl=TOKEN_TTL)), flush=True)  # noqa: T201 - what people came for
        try:
            server.run(
                "tasks_backend.dev.app:create",
                host="127.0.0.1",
                port=port,
                log_level="info",
                reload=True,
                reload_dirs=[str(Path(tasks_backend.__file__).parent)],
            )
        finally:
            keys.shutdown()


def _welcome(port: int, directory: Path, token: str) -> str:
    api = f"http://127.0.0.1:{port}"
    tasks = f"{api}/api/v1/tasks"
    command = f"{Path(sys.argv[0]).name} token bob"
    if directory != Path(".tasks-backend"):
        command += f" --data-dir {shlex.quote(str(directory))}"
    return f"""
  tasks_backend {tasks_backend.__version__}
  API   {api}
  Docs  {api}/docs
  Data  {directory.resolve()} (PostgreSQL, kept between starts)

  A token of {USER}'s, good for a day (another user's: {command}):

{token}

  Try it:

export TOKEN={token}
curl -s {tasks} -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' -d '{{"title": "Buy milk"}}'
curl -s {tasks} -H "Authorization: Bearer $TOKEN"
curl -s "{tasks}?completed=false&limit=1" -H "Authorization: Bearer $TOKEN"

  Ctrl-C stops everything.
"""
