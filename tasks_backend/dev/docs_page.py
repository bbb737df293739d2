"""Add development tokens to the documentation page, so that none has to be pasted."""

import re
from importlib.resources import files

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tasks_backend.dev.issuer import DAY, Issuer
from tasks_backend.errors import NotFound
from tasks_backend.plugin import Plugin

USERS = ("alice", "bob")
_LOOPBACK = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:\d+)?")


def plugin(issuer: Issuer) -> Plugin:
    """Return the plugin that serves the tokens and the script that fetches them."""
    router = APIRouter(include_in_schema=False)

    @router.get("/docs/development.js")
    async def answer_script() -> Response:
        script = files(__package__).joinpath("docs_page.js").read_bytes()
        return Response(script, media_type="text/javascript")

    @router.get("/docs/token")
    async def answer_token(request: Request) -> Response:
        """Respond like Better Auth's `/token`.

        The host must be a loopback name: with DNS rebinding, another site's page could have the same
        origin as this address.
        """
        user = request.query_params.get("user")
        host = request.headers.get("host", "")
        if user not in USERS or not _LOOPBACK.fullmatch(host):
            raise NotFound
        return JSONResponse({"token": issuer.token(user, ttl=DAY)})

    return Plugin("development-tokens", operations=router)
