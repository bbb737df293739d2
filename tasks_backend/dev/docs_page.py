"""What the documentation page has in development only: tokens that nobody needs to paste."""

import re
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tasks_backend.dev.issuer import DAY, Issuer
from tasks_backend.errors import NotFound

USERS = ("alice", "bob")
_LOOPBACK = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:\d+)?")


def routes(issuer: Issuer) -> list[Route]:
    """Return the routes of the script that asks for a token, and of the tokens it asks for."""

    async def answer_script(_: Request) -> Response:
        script = files(__package__).joinpath("docs_page.js").read_bytes()
        return Response(script, media_type="text/javascript")

    async def answer_token(request: Request) -> Response:
        """Answer as Better Auth's `/token` does. A page that rebinds its own name to this address
        (DNS rebinding) would be of one origin with it, so the name has to be loopback's.
        """
        user = request.query_params.get("user")
        host = request.headers.get("host", "")
        if user not in USERS or not _LOOPBACK.fullmatch(host):
            raise NotFound
        return JSONResponse({"token": issuer.token(user, ttl=DAY)})

    return [Route("/docs/development.js", answer_script), Route("/docs/token", answer_token)]
