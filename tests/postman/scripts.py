"""The JavaScript of the collection: preparations before a request, and assertions after it."""

import json
from collections.abc import Iterator
from typing import Any

from postman.calls import Call, Step
from postman.contract import PROBLEM, resolved

BEFORE_ALL = """\
// Some answers need a service in trouble: their names say in which, and only a run that says that
// it is so, in the environment's `condition`, sends them.
const needed = (pm.info.requestName.match(/ \\[(\\w+)\\]$/) || ["", ""])[1];
if (needed !== (pm.environment.get("condition") || "")) {
    pm.execution.skipRequest();
}
if (!pm.variables.get("token")) {
    throw new Error("choose the environment and set its token: `tasks-backend dev` prints one");
}"""

AFTER_ALL = """\
pm.test("carries what every response does", () => {
    pm.expect(pm.response.headers.get("X-Request-Id")).to.match(/^[A-Za-z0-9._-]{1,64}$/);
    pm.expect(pm.response.headers.get("Cache-Control")).to.eql("no-store");
    pm.expect(pm.response.headers.get("X-Content-Type-Options")).to.eql("nosniff");
});"""


_FILLED = """\
const filled = (request) => JSON.parse(pm.variables.replaceIn(JSON.stringify(request)));"""


def before(call: Call) -> list[str]:
    """The preparations of a request: they do not depend on other requests."""
    lines = []
    tokens = {call.token, *(step.token for step in call.steps)} & {"otherToken", "expiredToken"}
    for token in sorted(filter(None, tokens)):
        lines += [
            f'if (!pm.environment.get("{token}")) {{',
            f'    console.log("skipped: the environment has no {token}");',
            "    pm.execution.skipRequest();",
            "}",
        ]
    lines += [f'pm.variables.set("{name}", {value});' for name, value in call.sets.items()]
    return [*lines, *([_FILLED] if call.steps else []), *_steps(call.steps)]


def _steps(steps: tuple[Step, ...], indent: str = "") -> Iterator[str]:
    if not steps:
        return
    step, *following = steps
    headers = {"Authorization": f"Bearer {{{{{step.token}}}}}", **step.headers}
    request: dict[str, Any] = {"method": step.method, "header": headers}
    if step.body is not None:
        headers["Content-Type"] = "application/json"
        request["body"] = {"mode": "raw", "raw": json.dumps(step.body)}
    request["url"] = f"{{{{baseUrl}}}}{step.path}"
    text = json.dumps(request, indent=4).replace("\n", f"\n{indent}")
    yield f"{indent}pm.sendRequest(filled({text}), (error, answer) => {{"
    inner = f"{indent}    "
    yield f"{inner}pm.expect(error || answer.code).to.be.within(200, 299);"
    for name, value in step.keeps.items():
        yield f'{inner}pm.variables.set("{name}", {value});'
    yield from _steps(tuple(following), inner)
    yield f"{indent}}});"


def after(document: dict[str, Any], call: Call, response: dict[str, Any]) -> list[str]:
    """The assertions that compare the answer with the document."""
    lines = [_test(f"status is {call.status}", f"pm.response.to.have.status({call.status})")]
    content = response.get("content", {})
    if not content:
        lines.append(_test("there is no body", 'pm.expect(pm.response.text()).to.eql("")'))
    for media_type, described in content.items():
        name = described["schema"]["$ref"].rpartition("/")[2]
        schema = f'JSON.parse(pm.collectionVariables.get("{name}"))'
        type_ = 'pm.expect(pm.response.headers.get("Content-Type"))'
        lines += [
            _test(f"content type is {media_type}", f'{type_}.to.eql("{media_type}")'),
            "const body = pm.response.json();",
            _test(f"the body is a {name}", f"pm.response.to.have.jsonSchema({schema})"),
        ]
        if media_type == PROBLEM:
            lines.append(
                _test(f"code is {call.code}", f'pm.expect(body.code).to.eql("{call.code}")')
            )
            lines.append(
                _test(
                    "the body agrees with the head",
                    "pm.expect([body.status, body.request_id]).to.eql("
                    '[pm.response.code, pm.response.headers.get("X-Request-Id")])',
                )
            )
    for name, reference in response.get("headers", {}).items():
        header = resolved(document, reference)
        if header.get("required") and name != "X-Request-Id":
            pattern = header["schema"].get("pattern", "^[0-9]+$|^/")
            value = f'pm.expect(pm.response.headers.get("{name}"))'
            lines.append(_test(f"{name} is there", f"{value}.to.match(/{_regexp(pattern)}/)"))
    return lines + [_test(name, condition) for name, condition in call.checks.items()]


def _test(name: str, condition: str) -> str:
    return f"pm.test({json.dumps(name)}, () => {condition});"


def _regexp(pattern: str) -> str:
    return pattern.replace("/", r"\/").replace("|^\\/", r"|^\/")
