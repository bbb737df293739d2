"""Hostile bodies from an authenticated user: each is refused with the right problem, and its
content is neither repeated nor stored (FR-002).
"""

import json
import re
import socket
import unicodedata
import zlib
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from tasks_backend.testing.service import User, problem

pytestmark = pytest.mark.proves("FR-002", "EDGE-5", "US1-AC2")

TASKS = "/api/v1/tasks"
JSON = "application/json"
MERGE_PATCH = "application/merge-patch+json"
MAX_BODY = 128 * 1024
CONTROLS = [chr(code) for code in range(0xA0) if unicodedata.category(chr(code)) == "Cc"]
SPACES = [chr(code) for code in range(0x10000) if unicodedata.category(chr(code)) == "Zs"]
MONEY = "\N{MONEY WITH WINGS}"  # one character, two UTF-16 units, four bytes
OUR_WORDS = {"title", "description", "completed", "true", "false", "null", "application", "json"}


def whole(**fields: str) -> bytes:
    """A valid body for every write, except for these fields, given as JSON text."""
    fields = {"title": '"Zanzibar"', "description": "null", "completed": "false", **fields}
    pairs = ",".join(f'"{name}":{value}' for name, value in fields.items())
    return f"{{{pairs}}}".encode()


def text(value: str) -> str:
    """A string as JSON text without escapes."""
    return json.dumps(value, ensure_ascii=False)


def writes(
    user: User, task: dict[str, Any], content: bytes, **headers: str
) -> Iterator[httpx2.Response]:
    """The answers of all operations with a body."""
    for method, path in (
        ("POST", TASKS),
        ("PATCH", f"{TASKS}/{task['id']}"),
        ("PUT", f"{TASKS}/{task['id']}"),
    ):
        headers = {"Content-Type": JSON, **headers}
        yield user.client.request(method, path, content=content, headers=headers)


def refused(response: httpx2.Response, status: int, code: str, *sent: bytes) -> Any:
    """Return the errors of a refusal; check that it repeats nothing of the body."""
    body = problem(response, status, code)
    said = json.dumps([body["title"], body["detail"], body["errors"]])
    words = {word for part in sent for word in re.findall(r"\w{3,}", part.decode("latin-1"))}
    assert not {word for word in words - OUR_WORDS if word in said}
    return body["errors"]


MALFORMED = {
    "nothing": b"",
    "white space": b" \t\r\n",
    "half": b'{"title": "Zanzibar"',
    "two values": whole() + b" " + whole(),
    "a comma too many": b'{"title": "Zanzibar",}',
    "a comma too few": b'{"title": "Zanzibar" "completed": false}',
    "single quotes": b"{'title': 'Zanzibar'}",
    "no quotes": b"{title: Zanzibar}",
    "a comment": b'{"title": "Zanzibar" /* really */}',
    "vertical tab between": b'{\v"title": "Zanzibar"}',
    "no-break space between": '{\u00a0"title": "Zanzibar"}'.encode(),
    "NUL after": whole() + b"\0",
    "record separator before": b"\x1e" + whole(),
    "a name that is no string": b'{1: "Zanzibar"}',
    "NaN": whole(title="NaN"),
    "Infinity": whole(completed="Infinity"),
    "-Infinity": whole(description="-Infinity"),
    "NaN within": whole(description='{"deep": [NaN]}'),
    "undefined": whole(description="undefined"),
    "True": whole(completed="True"),
    "leading zero": whole(completed="01"),
    "leading plus": whole(completed="+1"),
    "hexadecimal": whole(completed="0x10"),
    "no digit before the point": whole(completed=".5"),
    "5,000 digits": whole(completed="9" * 5_000),
    "100,000 digits": whole(completed="-" + "9" * 100_000),
    "100,000 arrays": b"[" * 100_000,
    "60,000 arrays, closed": b"[" * 60_000 + b"]" * 60_000,
    "60 objects, and 20,000 arrays": b'{"a":' * 60 + b"[" * 20_000,
    "100,000 arrays as the title": whole(title="[" * 100_000),
    "50,000 arrays as the description": whole(description="[" * 50_000 + "]" * 50_000),
    "an escape that is none": whole(title=r'"Zanzi\bar\x41"'),
    "half an escape": whole(title=r'"Zanzibar\u12"'),
    "a raw newline in a string": whole(title='"Zanzi\nbar"'),
    "a byte that is no UTF-8": whole().replace(b"z", b"\xff"),
    "Latin-1": whole(title='"Zürich"').decode().encode("latin-1"),
    "half a character": whole().replace(b"z", b"\xe2\x82"),
    "an overlong NUL": whole().replace(b"z", b"\xc0\x80"),
    "an overlong slash": whole().replace(b"z", b"\xe0\x80\xaf"),
    "a raw lone surrogate": whole().replace(b"z", b"\xed\xa0\x80"),
    "a raw surrogate pair": whole().replace(b"z", b"\xed\xa0\xbd\xed\xb8\x80"),
    "beyond Unicode": whole().replace(b"z", b"\xf4\x90\x80\x80"),
    "a byte order mark": b"\xef\xbb\xbf" + whole(),
    "UTF-16 with a mark": whole().decode().encode("utf-16"),
    "UTF-16LE": whole().decode().encode("utf-16-le"),
    "UTF-16BE": whole().decode().encode("utf-16-be"),
    "UTF-32 with a mark": whole().decode().encode("utf-32"),
    "UTF-32BE": whole().decode().encode("utf-32-be"),
    "UTF-7": whole().decode().encode("utf-7").replace(b'"', b"+ACI-"),
    "a name twice": b'{"title": "Zanzibar", "title": "Mombasa"}',
    "a name twice, the same value": b'{"title": "Zanzibar", "title": "Zanzibar"}',
    "a name twice, once escaped": rb'{"title": "Zanzibar", "\u0074itle": "Mombasa"}',
    "an unknown name twice": whole(unknown="1")[:-1] + b',"unknown":2}',
    "a name twice, within": whole(description='{"deep": 1, "deep": 2}'),
    "a name twice, deep within": whole(description='[[{"a": {"deep": 1, "deep": 2}}]]'),
    "compressed, and not said so": zlib.compress(whole()),
    "a form": b"title=Zanzibar&completed=false",
    "XML": b"<task><title>Zanzibar</title></task>",
}


@pytest.mark.parametrize("sent", MALFORMED.values(), ids=MALFORMED)
def test_invalid_or_ambiguous_json_is_a_400(alice: User, sent: bytes) -> None:
    task = alice.create()
    for response in writes(alice, task, sent):
        assert refused(response, 400, "malformed_json", sent) == []
    assert alice.client.get(TASKS).json()["items"] == [task]


@pytest.mark.parametrize("character", CONTROLS[:32], ids=lambda c: f"U+{ord(c):04X}")
def test_a_raw_control_character_in_a_string_is_a_400(alice: User, character: str) -> None:
    for sent in (whole(title=f'"Zanzi{character}bar"'), whole(description=f'"{character}"')):
        response = alice.client.post(TASKS, content=sent, headers={"Content-Type": JSON})
        assert refused(response, 400, "malformed_json", sent) == []


BOOL, STRING, EXTRA, MANY = "bool_type", "string_type", "extra_forbidden", "too_many_members"
INVALID: dict[str, tuple[bytes, list[tuple[str, str]]]] = {
    **{
        f"not an object: {value}": (value.encode(), [("", "model_type")])
        for value in ("null", "true", "12345", "-1.5e3", '"Zanzibar"', "[]", '["Zanzibar"]')
    },
    **{
        f"title {value}": (whole(title=value), [("title", STRING)])
        for value in ("null", "true", "12345", "1e999", "[]", "{}", '["Zanzibar"]')
    },
    **{
        f"description {value}": (whole(description=value), [("description", STRING)])
        for value in ("false", "12345", "-0.0", "[]", "{}", '["Zanzibar"]')
    },
    **{
        f"completed {value}": (whole(completed=value), [("completed", BOOL)])
        for value in ("null", "0", "1", "1.0", '"true"', '"yes"', '"on"', '""', "[]", "[true]")
    },
    "completed, 4,000 digits": (whole(completed="9" * 4_000), [("completed", BOOL)]),
    "title, 900 arrays": (whole(title="[" * 900 + "]" * 900), [("title", STRING)]),
    "everything": (
        whole(title="1", description="2", completed="3", surplus="4"),
        [("title", STRING), ("description", STRING), ("completed", BOOL), ("", EXTRA)],
    ),
    **{
        f"unknown field {name!r}": (whole(**{name: '"Mombasa"'}), [("", EXTRA)])
        for name in (
            "user_id",
            "version",
            "created_at",
            "Title",
            "title ",
            "__proto__",
            "__class__",
            "model_config",
            r"nul\u0000nul",
            "päckchen",
            "x" * 1_000,
        )
    },
    "61 unknown fields": (
        whole(**{f"unknown{number}": "1" for number in range(61)}),
        [("", EXTRA)],
    ),
    "62 unknown fields": (whole(**{f"unknown{number}": "1" for number in range(62)}), [("", MANY)]),
    "10,000 unknown fields": (
        whole(**{f"u{number}": "1" for number in range(10_000)}),
        [("", MANY)],
    ),
    "one field 9,000 times": (b"{" + b",".join([b'"title":"x"'] * 9_000) + b"}", [("", MANY)]),
    "20,000 objects": (b'{"a":' * 20_000 + b"1" + b"}" * 20_000, [("", MANY)]),
    "many fields, deep within": (
        whole(description="[" + ",".join(['{"a":1,"b":{"c":2}}'] * 21) + "]"),
        [("", MANY)],
    ),
    "an unknown field named by a lone surrogate": (
        whole(**{r"\ud800": "1"}),
        [("", "string_unicode")],
    ),
    **{
        f"a title of {name}": (whole(title=text(value)), [("title", "string_too_short")])
        for name, value in {
            "nothing": "",
            "a space": " ",
            "1,000 spaces": " " * 1_000,
            "every space there is": "".join(SPACES),
        }.items()
    },
    **{
        f"a title of {name}": (whole(title=text(value)), [("title", "string_too_long")])
        for name, value in {
            "201 characters": "z" * 201,
            "100,000 characters": "z" * 100_000,
            "201 astral characters": MONEY * 201,
            "201 with a space within": "z" * 100 + " " + "z" * 100,
        }.items()
    },
    **{
        f"a description of {name}": (
            whole(description=text(value)),
            [("description", "string_too_long")],
        )
        for name, value in {
            "10,001 characters": "z" * 10_001,
            "10,001 spaces": " " * 10_001,
            "10,001 astral characters": MONEY * 10_001,
        }.items()
    },
    **{
        f"{field} with {escape}": (
            whole(**{field: f'"Zanzi{escape}bar"'}),
            [(field, "string_unicode")],
        )
        for field in ("title", "description")
        for escape in (r"\ud800", r"\udbff", r"\udc00", r"\udfff", r"\ude00\ud83d", r"\ud800\u0041")
    },
    **{
        f"a title with U+{ord(character):04X} at {place!r}": (
            whole(title=text(place.format(character))),
            [("title", "line_break")],
        )
        for character in "\u2028\u2029"
        for place in ("Zanzi{}bar", "{}Zanzibar", "Zanzibar{}", "{}")
    },
}


@pytest.mark.parametrize(("sent", "errors"), INVALID.values(), ids=INVALID)
def test_invalid_fields_are_a_422_that_names_them(
    alice: User, sent: bytes, errors: list[tuple[str, str]]
) -> None:
    task = alice.create()
    for response in writes(alice, task, sent):
        found = refused(response, 422, "validation_error", sent)
        assert [(entry["field"], entry["code"]) for entry in found] == errors
        assert {entry["location"] for entry in found} == {"body"}
    assert alice.client.get(TASKS).json()["items"] == [task]


@pytest.mark.parametrize("character", CONTROLS, ids=lambda c: f"U+{ord(c):04X}")
def test_only_newline_and_tab_in_a_description_are_allowed_control_characters(
    alice: User, character: str
) -> None:
    task = alice.create()
    for place in ("Zanzi{}bar", "Zanzibar{}"):
        value = text(place.format(character))
        for response in writes(alice, task, whole(title=value)):
            (entry,) = refused(response, 422, "validation_error", b"Zanzibar")
            assert (entry["field"], entry["code"]) == ("title", "control_character")
        for response in writes(alice, task, whole(description=value)):
            if character in "\r\n\t":  # a line break is stored as a newline
                stored = place.format("\n" if character == "\r" else character)
                assert response.json()["description"] == stored
                continue
            (entry,) = refused(response, 422, "validation_error", b"Zanzibar")
            assert (entry["field"], entry["code"]) == ("description", "control_character")


TAKEN: dict[str, tuple[bytes, dict[str, Any]]] = {
    "a title between every space there is": (
        whole(title=text(f"{''.join(SPACES)}Buy  milk{''.join(SPACES)}")),
        {"title": "Buy  milk"},
    ),
    "200 characters between 100,000 spaces": (
        whole(title=text(" " * 50_000 + "z" * 200 + " " * 50_000)),
        {"title": "z" * 200},
    ),
    "200 astral characters": (whole(title=text(MONEY * 200)), {"title": MONEY * 200}),
    "200 astral characters, escaped": (
        whole(title=json.dumps(MONEY * 200)),
        {"title": MONEY * 200},
    ),
    "10,000 astral characters, escaped": (
        whole(description=json.dumps(MONEY * 10_000)),
        {"description": MONEY * 10_000},
    ),
    "the last of Unicode": (whole(title=text("\U0010ffff")), {"title": "\U0010ffff"}),
    "an empty description": (whole(description='""'), {"description": ""}),
    "white space as a description": (
        whole(description=r'" \n\t\u2028 "'),
        {"description": " \n\t\u2028 "},
    ),
    "no description": (whole(description="null"), {"description": None}),
    "completed": (whole(completed="true"), {"completed": True}),
    "what looks like members": (
        whole(description=text('{"a":1, "b" : 2}, ' * 500)),
        {"description": '{"a":1, "b" : 2}, ' * 500},
    ),
    "a name that is escaped": (whole().replace(b"title", rb"\u0074itle"), {"title": "Zanzibar"}),
    "as much as there may be": (whole().ljust(MAX_BODY), {"title": "Zanzibar"}),
}


@pytest.mark.parametrize(("sent", "kept"), TAKEN.values(), ids=TAKEN)
def test_unusual_but_valid_bodies_are_accepted(
    alice: User, sent: bytes, kept: dict[str, Any]
) -> None:
    task = alice.create()
    for response in writes(alice, task, sent):
        assert response.status_code in {200, 201}, response.text
        assert response.json() | kept == response.json()
        assert alice.read(response.json()["id"]) == response.json()


@pytest.mark.parametrize(
    "media_type",
    (
        "text/plain|text/json|application/x-www-form-urlencoded|multipart/form-data"
        "|application/xml|application/octet-stream|application/problem+json"
        "|application/jsonl|application/json-patch+json|application|*/*|json|"
        "|application/json, text/plain|application/json text/plain|application/*"
    ).split("|"),
)
def test_another_media_type_is_a_415(alice: User, media_type: str) -> None:
    task = alice.create()
    for response in writes(alice, task, whole(), **{"Content-Type": media_type}):
        assert refused(response, 415, "unsupported_media_type", media_type.encode(), whole()) == []
    assert alice.client.get(TASKS).json()["items"] == [task]


def test_no_media_type_is_a_415(alice: User) -> None:
    response = alice.client.post(TASKS, content=whole())
    assert "content-type" not in response.request.headers
    refused(response, 415, "unsupported_media_type", whole())


def test_a_merge_patch_is_accepted_by_patch_only(alice: User) -> None:
    task = alice.create()
    created, patched, replaced = writes(alice, task, whole(), **{"Content-Type": MERGE_PATCH})
    assert patched.status_code == 200
    for response in (created, replaced):
        refused(response, 415, "unsupported_media_type", whole())


@pytest.mark.parametrize(
    "media_type",
    [
        "Application/JSON",
        "application/json;charset=utf-8",
        'application/json; charset="UTF-8"',
        "application/json; charset=utf-16; x=y",
    ],
)
def test_json_is_utf_8_whatever_the_charset_parameter(alice: User, media_type: str) -> None:
    """JSON has no charset parameter (RFC 8259, section 11)."""
    sent = whole(title=text("Zürich"))
    for response in writes(alice, alice.create(), sent, **{"Content-Type": media_type}):
        assert response.json()["title"] == "Zürich"


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "x", "identity, gzip"])
def test_a_compressed_body_is_a_415(alice: User, encoding: str) -> None:
    sent = zlib.compress(whole(), wbits=31)
    for response in writes(alice, alice.create(), sent, **{"Content-Encoding": encoding}):
        refused(response, 415, "unsupported_media_type", encoding.encode(), whole())


def test_a_too_large_body_is_a_413_with_or_without_content_length(alice: User) -> None:
    sent = whole().ljust(MAX_BODY + 1)
    for method, path in (("POST", TASKS), ("PATCH", f"{TASKS}/x"), ("PUT", f"{TASKS}/x")):
        for content in (
            sent,
            (sent[start : start + 1_000] for start in range(0, len(sent), 1_000)),
        ):
            response = alice.client.request(
                method, path, content=content, headers={"Content-Type": JSON}
            )
            assert ("content-length" in response.request.headers) == (content is sent)
            assert refused(response, 413, "payload_too_large", whole()) == []
    assert alice.client.get(TASKS).json()["items"] == []


def test_a_too_large_content_length_is_refused_before_the_body(alice: User) -> None:
    address = urlsplit(str(alice.client.base_url))
    authorization = alice.client.headers["authorization"]
    for method, path in (
        ("POST", TASKS),
        ("GET", TASKS),
        ("POST", f"{TASKS}/x/toggle"),
        ("PATCH", f"{TASKS}/x"),
        ("PUT", f"{TASKS}/x"),
        ("DELETE", f"{TASKS}/x"),
    ):
        with socket.create_connection((address.hostname, address.port), timeout=20) as connection:
            connection.sendall(
                f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {authorization}\r\n"
                f"Content-Type: {JSON}\r\nContent-Length: {MAX_BODY + 1}\r\n\r\n".encode()
            )
            answer = connection.recv(65_536)
        assert answer.startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("sent", [b"{", b"\xff", b'{"completed": false}', b"x" * 1_000])
def test_an_operation_without_a_body_ignores_one(alice: User, sent: bytes) -> None:
    path = f"{TASKS}/{alice.create()['id']}"
    for media_type in (JSON, "text/plain"):
        headers = {"Content-Type": media_type}
        toggled = alice.client.post(f"{path}/toggle", content=sent, headers=headers)
        assert (toggled.status_code, toggled.json()["completed"]) == (200, media_type == JSON)
    deleted = alice.client.request("DELETE", path, content=sent, headers=headers)
    assert deleted.status_code == 204
