"""Events of Lambda's gateways, made of requests, and responses made of what a function returns."""

import base64
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs

import httpx2

Event = dict[str, Any]
Handler = Callable[[Event, Any], Mapping[str, Any]]


class Gateway(httpx2.BaseTransport):
    """Calls a function with an event for each request. `form` is one of FORMS."""

    def __init__(self, handler: Handler, form: str) -> None:
        self._handler = handler
        self._form = FORMS[form]
        self.returned: Mapping[str, Any] = {}

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        body = request.read()
        event: Event = {
            "headers": dict(request.headers),
            "body": base64.b64encode(body).decode() if body else None,
            "isBase64Encoded": bool(body),
            **self._form(request),
        }
        self.returned = answer = self._handler(event, None)
        content = answer.get("body", "")
        data = base64.b64decode(content) if answer["isBase64Encoded"] else content.encode()
        return httpx2.Response(answer["statusCode"], headers=_headers(answer), content=data)


def _headers(answer: Mapping[str, Any]) -> list[tuple[str, str]]:
    several = answer.get("multiValueHeaders") or {}
    one = answer.get("headers") or {}
    found = [(name, value) for name, values in several.items() for value in values]
    return found + [item for item in one.items() if item[0] not in several]


def _rest(request: httpx2.Request) -> Event:
    """API Gateway's REST API, payload 1.0. It says no length."""
    headers = {n: v for n, v in request.headers.items() if n.lower() != "content-length"}
    return {
        "resource": "/{proxy+}",
        "path": request.url.path,
        "httpMethod": request.method,
        "headers": headers,
        "multiValueHeaders": {name: [value] for name, value in headers.items()},
        "multiValueQueryStringParameters": _query(request) or None,
        "requestContext": {"identity": {"sourceIp": "203.0.113.9"}, "stage": "prod"},
    }


def _http(request: httpx2.Request) -> Event:
    """API Gateway's HTTP API, payload 2.0."""
    http = {"method": request.method, "path": request.url.path, "sourceIp": "203.0.113.9"}
    return {
        "version": "2.0",
        "rawPath": request.url.path,
        "rawQueryString": request.url.query.decode(),
        "requestContext": {"http": http, "stage": "$default"},
    }


def _balancer(request: httpx2.Request) -> Event:
    """An Application Load Balancer, with values in lists."""
    return {
        "httpMethod": request.method,
        "path": request.url.path,
        "multiValueHeaders": {name: [value] for name, value in request.headers.items()},
        "multiValueQueryStringParameters": _query(request),
        "requestContext": {"elb": {"targetGroupArn": "arn:aws:elasticloadbalancing:x"}},
    }


def _query(request: httpx2.Request) -> dict[str, list[str]]:
    return parse_qs(request.url.query.decode(), keep_blank_values=True)


FORMS: Mapping[str, Callable[[httpx2.Request], Event]] = {
    "API Gateway, payload 1.0": _rest,
    "API Gateway, payload 2.0": _http,
    "load balancer": _balancer,
}
