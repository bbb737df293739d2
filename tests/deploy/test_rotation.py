"""A new password of the database, by the steps of docs/deployment.md, under load."""

import http.client
import shlex
import signal
import sys
import threading
from collections import Counter
from pathlib import Path

from psycopg2.extensions import parse_dsn
from support.commands import environment, free_port
from support.programs import LOG, running
from support.waiting import answers

from tasks_backend.testing.databases import Cluster
from tasks_backend.testing.key_server import KeyServer
from tasks_backend.testing.signing import AUDIENCE, ISSUER, Signer
from tasks_backend.testing.waiting import until

UNIT = Path(__file__).parents[2] / ".deploy" / "tasks-backend@.service"
CLIENTS = 2
AFTERWARDS = 50  # requests after the old login is gone
PAUSE = 0.02  # seconds between two requests of a client: the new workers need the processor


def service_login(cluster: Cluster) -> str:
    name = cluster.login("NOINHERIT")
    with cluster.cursor() as cursor:
        cursor.execute(f"GRANT tasks_app TO {name}")
    return name


def test_a_second_login_replaces_the_first_one_without_a_failed_request(
    tmp_path: Path, cluster: Cluster, database: str, key_server: KeyServer, signer: Signer
) -> None:
    first, second = service_login(cluster), service_login(cluster)
    file = tmp_path / ".env"
    name = str(parse_dsn(database)["dbname"])

    def configure(login: str) -> None:
        settings = {
            "DATABASE_URL": cluster.url_of(name, login),
            "JWT_ISSUER": ISSUER,
            "JWT_AUDIENCE": AUDIENCE,
            "JWKS_URL": key_server.url,
        }
        file.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))

    def connections(login: str) -> int:
        with cluster.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE usename = %s", [login])
            return int(cursor.fetchone()[0])

    results: Counter[int | str] = Counter()
    stop = threading.Event()

    def client(user: str) -> None:
        headers = {"Authorization": f"Bearer {signer.token(user)}"}
        while not stop.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            try:
                connection.request("GET", "/api/v1/tasks", headers=headers)
                response = connection.getresponse()
                response.read()
                results[response.status] += 1
            except (OSError, http.client.HTTPException) as error:
                results[type(error).__name__] += 1
            connection.close()
            stop.wait(PAUSE)

    configure(first)
    port = free_port()
    (start,) = (line for line in UNIT.read_text().splitlines() if line.startswith("ExecStart="))
    _, *arguments = shlex.split(start.partition("=")[2].replace("%i", str(port)))
    command = [sys.executable, "-m", "tasks_backend", *arguments]
    with running(
        command,
        tmp_path / LOG,
        environment(tmp_path),
        lambda: answers(f"http://127.0.0.1:{port}/readyz"),
    ) as program:
        clients = [threading.Thread(target=client, args=(f"u{n}",)) for n in range(CLIENTS)]
        for each in clients:
            each.start()
        try:
            until(lambda: results[200] > CLIENTS and connections(first) > 0, "the first login")
            configure(second)
            program.send(signal.SIGHUP)
            until(lambda: connections(second) > 0 and connections(first) == 0, "the second login")
            with cluster.cursor() as cursor:
                cursor.execute(f"DROP ROLE {first}")
            seen = results.total()
            until(lambda: results.total() >= seen + AFTERWARDS, "more requests")
        finally:
            stop.set()
            for each in clients:
                each.join()
    assert set(results) == {200}, results
