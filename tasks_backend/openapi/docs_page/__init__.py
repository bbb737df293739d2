"""The page at `/docs`: Swagger UI, served entirely by the service under a strict policy.

Swagger UI comes unchanged from the package `fastapi-swagger`; the files in this directory build the
page. All its URLs are relative, so that they work under any prefix.
"""

import hashlib
import html
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from string import Template
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; "  # Swagger UI's icons are in its style sheet
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The page's Content-Security-Policy: no inline code, no `eval`, no other host."""

_SWAGGER_UI = "fastapi_swagger.resources"
_PACKAGE = __name__
_ASSETS = {
    "swagger-ui.css": (_SWAGGER_UI, "text/css"),
    "page.css": (_PACKAGE, "text/css"),
    "swagger-ui-bundle.js": (_SWAGGER_UI, "text/javascript"),
    "start.js": (_PACKAGE, "text/javascript"),
    "favicon-32x32.png": (_SWAGGER_UI, "image/png"),
}
_CACHE_HEADERS = {"Cache-Control": "public, max-age=31536000, immutable"}
_PAGE_HEADERS = {"Content-Security-Policy": POLICY, "Referrer-Policy": "no-referrer"}


def routes(
    title: str, document: Callable[[], dict[str, Any]], *, development: bool = False
) -> list[Route]:
    """Return the routes of the page, of its assets and of the OpenAPI document.

    For development, the page also loads `docs/development.js`, which `tasks_backend.dev` serves.
    """
    addresses = {name: f"docs/{_digest()}/{name}" for name in _ASSETS}
    page = _page(title, addresses, development=development)

    async def answer_page(_: Request) -> Response:
        return Response(page, media_type="text/html", headers=_PAGE_HEADERS)

    async def answer_document(request: Request) -> Response:
        described = document()
        if prefix := request.scope.get("root_path", "").rstrip("/"):
            servers = [{**server, "url": prefix} for server in described["servers"]]
            described = {**described, "servers": servers}
        return Response(orjson.dumps(described), media_type="application/json")

    return [
        Route("/docs", answer_page),
        Route("/openapi.json", answer_document),
        *(_asset(f"/{address}", *_ASSETS[name], name) for name, address in addresses.items()),
    ]


def _asset(path: str, package: str, media_type: str, name: str) -> Route:
    async def answer(_: Request) -> Response:
        return Response(_content(package, name), media_type=media_type, headers=_CACHE_HEADERS)

    return Route(path, answer)


@cache
def _content(package: str, name: str) -> bytes:
    return files(package).joinpath(name).read_bytes()


@cache
def _digest() -> str:
    """Return a digest of all assets. It is in their URLs, so browsers may cache them forever."""
    digest = hashlib.sha256()
    for name, (package, _) in _ASSETS.items():
        digest.update(_content(package, name))
    return digest.hexdigest()[:16]


def _page(title: str, addresses: dict[str, str], *, development: bool) -> str:
    extra = '<script src="docs/development.js" defer></script>\n' if development else ""
    names = {name.replace("-", "_").replace(".", "_"): url for name, url in addresses.items()}
    template = Template(_content(_PACKAGE, "page.html").decode())
    return template.substitute(names, title=html.escape(title), development=extra)
