import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest
from tasks_backend_outbox import plugin

from tasks_backend import Plugin
from tasks_backend.testing import Contract, User, until

pytest_plugins = ["tasks_backend.testing"]
received: list[dict[str, Any]] = []


class Webhook(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        received.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        self.send_response(503 if len(received) == 1 else 200)  # the first delivery fails
        self.end_headers()


@pytest.fixture(scope="session")
def plugins() -> Iterator[list[Plugin]]:
    with HTTPServer(("127.0.0.1", 0), Webhook) as server, pytest.MonkeyPatch.context() as patch:
        Thread(target=server.serve_forever, daemon=True).start()
        patch.setenv("OUTBOX_WEBHOOK", f"http://127.0.0.1:{server.server_port}")
        yield [plugin]
        server.shutdown()


def test_requests_cannot_reach_events(contract: Contract) -> None:
    contract.assert_isolation()


def test_a_change_is_posted_until_it_is_accepted(alice: User) -> None:
    task = alice.create(title="Milk")
    until(lambda: len(received) > 1, "the second delivery")
    assert received[0] == received[1]
    assert received[1]["action"] == "insert"
    assert received[1]["id"] == task["id"]
