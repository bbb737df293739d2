"""The contract through each proxy, as used by a frontend."""

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from proxies.conftest import ORIGIN
from proxies.form import TASKS
from proxies.kinds import PREFIX
from proxies.people import Person
from proxies.running import Running
from proxies.wire import Wire

LIMIT = 128 * 1024  # bytes of a body


def create(client: httpx2.Client, **fields: Any) -> httpx2.Response:
    answer = client.post(TASKS, json={"title": "Buy milk", **fields})
    assert answer.status_code == 201, answer.text
    return answer


def test_a_task_is_created_read_changed_and_deleted(client: httpx2.Client) -> None:
    created = create(client, description="Two, é漢🎉")
    path = created.headers["location"]
    assert path == f"{TASKS}/{created.json()['id']}"
    assert client.get(path).json() == created.json()
    changed = client.patch(path, json={"title": "Buy oat milk"})
    assert (changed.status_code, changed.json()["title"]) == (200, "Buy oat milk")
    whole = {"title": "Tea", "description": None, "completed": False}
    assert client.put(path, json=whole).json()["title"] == "Tea"
    assert client.post(f"{path}/toggle").json()["completed"] is True
    deleted = client.delete(path)
    assert (deleted.status_code, deleted.content) == (204, b"")
    gone = client.get(path)
    assert (gone.status_code, gone.json()["code"]) == (404, "task_not_found")
    assert gone.headers["content-type"] == "application/problem+json"


def test_a_list_is_paged_by_its_links(client: httpx2.Client) -> None:
    ids = [create(client, title=f"{number}").json()["id"] for number in range(3)]
    page, seen = client.get(f"{TASKS}?limit=1"), list[str]()
    while True:
        seen += [task["id"] for task in page.json()["items"]]
        cursor = page.json()["next_cursor"]
        if cursor is None:
            break
        assert f"cursor={cursor}" in page.links["next"]["url"]
        page = client.get(page.links["next"]["url"])
    assert seen == ids[::-1]
    assert "next" not in page.links


def test_an_etag_as_changed_by_the_proxy_is_accepted(
    running: Running, client: httpx2.Client
) -> None:
    client.headers["Accept-Encoding"] = "gzip"
    path = create(client).headers["location"]
    read = client.get(path)
    tag = read.headers["etag"]
    assert (tag != '"1"') == running.kind.alters_tags
    assert (read.headers.get("content-encoding") == "gzip") == running.kind.alters_tags
    changed = client.patch(path, json={"completed": True}, headers={"If-Match": tag})
    assert changed.status_code == 200, changed.text
    stale = client.patch(path, json={"completed": False}, headers={"If-Match": tag})
    assert (stale.status_code, stale.json()["code"]) == (412, "version_mismatch")


def test_an_etag_is_unchanged_without_compression(client: httpx2.Client) -> None:
    client.headers["Accept-Encoding"] = "identity"
    created = create(client)
    path, tag = created.headers["location"], created.headers["etag"]
    assert tag == client.get(path).headers["etag"] == '"1"'
    changed = client.patch(path, json={"completed": True}, headers={"If-Match": tag})
    assert (changed.status_code, changed.headers["etag"]) == (200, '"2"')
    stale = client.patch(path, json={"completed": False}, headers={"If-Match": tag})
    assert (stale.status_code, stale.json()["code"]) == (412, "version_mismatch")


def test_head_is_like_get_without_a_body(client: httpx2.Client) -> None:
    client.headers["Accept-Encoding"] = "identity"
    own = create(client).headers["location"]
    differs = {"date", "x-request-id"}
    for path in (own, TASKS, "/livez", "/readyz", "/openapi.json", "/docs"):
        read, asked = client.get(path), client.head(path)
        assert (asked.status_code, asked.content) == (read.status_code, b""), path
        for name in ("etag", "content-type", "cache-control", "link"):
            if name not in differs:
                assert asked.headers.get(name) == read.headers.get(name), path


def test_a_preflight_of_another_origin_passes(client: httpx2.Client) -> None:
    asking = {
        "Origin": ORIGIN,
        "Access-Control-Request-Method": "PATCH",
        "Access-Control-Request-Headers": "authorization,content-type,if-match",
    }
    allowed = client.options(TASKS, headers=asking)
    assert allowed.status_code == 200
    assert allowed.headers["access-control-allow-origin"] == ORIGIN
    assert "PATCH" in allowed.headers["access-control-allow-methods"]
    answer = client.get(TASKS, headers={"Origin": ORIGIN})
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert "ETag" in answer.headers["access-control-expose-headers"]
    foreign = client.get(TASKS, headers={"Origin": "https://other.example.com"})
    assert "access-control-allow-origin" not in foreign.headers


def body_of(size: int) -> bytes:
    """A task with the longest description in its longest encoding, padded with white space."""
    escaped = "\\ud83c\\udf89" * 10_000
    body = f'{{"title": "Long", "description": "{escaped}"}}'.encode()
    return body + b" " * (size - len(body))


@pytest.mark.parametrize("chunked", [False, True], ids=["with a length", "in chunks"])
def test_a_body_of_the_maximum_length_is_accepted(client: httpx2.Client, chunked: bool) -> None:
    def post(size: int) -> httpx2.Response:
        body = body_of(size)
        content = _parts(body) if chunked else body
        return client.post(TASKS, content=content, headers={"Content-Type": "application/json"})

    longest = post(LIMIT)
    assert longest.status_code == 201, longest.text
    assert longest.json()["description"] == "🎉" * 10_000
    refused = post(LIMIT + 1)
    assert (refused.status_code, refused.json()["code"]) == (413, "payload_too_large")
    assert post(LIMIT).status_code == 201


@pytest.mark.parametrize("size", [200_000, 900_000])
def test_a_much_too_long_body_is_refused(client: httpx2.Client, size: int) -> None:
    body = body_of(size)
    answer = client.post(TASKS, content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")


def _parts(body: bytes) -> Iterator[bytes]:
    for at in range(0, len(body), 20_000):
        yield body[at : at + 20_000]


def test_addresses_include_the_path_that_the_proxy_strips(running: Running, user: Person) -> None:
    headers = {
        "Authorization": f"Bearer {user.token}",
        "X-Forwarded-Prefix": "/made-up",
        "X-Forwarded-Host": "other.example.com",
    }
    stripped = "" if running.kind.configure else PREFIX
    with httpx2.Client(base_url=running.prefixed_url, headers=headers, timeout=30) as client:

        def get(address: str) -> httpx2.Response:
            return client.get(str(client.base_url.join(address.removeprefix(stripped))))

        created = [create(client) for _ in range(2)]
        for answer in created:
            assert answer.headers["location"] == f"{PREFIX}{TASKS}/{answer.json()['id']}"
            assert get(answer.headers["location"]).json() == answer.json()
        link = client.get(f"{TASKS}?limit=1").links["next"]["url"]
        assert link.startswith(f"{PREFIX}{TASKS}?")
        assert get(link).json()["items"] == [created[0].json()]
        assert client.get("/api/v1/nothing").json()["instance"] == f"{PREFIX}/api/v1/nothing"
        assert client.get("/openapi.json").json()["servers"][0]["url"] == PREFIX


def test_fifty_requests_on_one_connection(running: Running, user: Person) -> None:
    with Wire(running.port) as wire:
        for number in range(50):
            head = f"GET {TASKS} HTTP/1.1\r\nHost: tasks\r\nX-Request-Id: many-{number}\r\n"
            wire.send([f"{head}{user.credentials}\r\n".encode()])
            answer = wire.answer()
            assert (answer.status, answer.request_id) == (200, f"many-{number}")
        assert not wire.ended()
    used = {id(running.upstream.carrying(f"many-{number}")[0]) for number in range(50)}
    assert len(used) == (1 if running.shares else 50)
