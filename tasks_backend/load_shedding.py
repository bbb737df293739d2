"""Under overload, a request that will find no place is refused before anything is done for it.

The gate refuses such a request too. Here that costs a tenth: under a flood, what refusals do not
cost is left for everybody else (decision 0017).
"""

from starlette.types import ASGIApp, Receive, Scope, Send

from tasks_backend.caller import bearer_credential
from tasks_backend.envelope import request_id
from tasks_backend.errors import MEDIA_TYPE, Overloaded, problem
from tasks_backend.limiter import ConcurrencyLimiter
from tasks_backend.receive import arrived, discard, has_body

PREFIX = "/api/"
"""What is counted. Health probes and documents are always answered."""


class LoadSheddingMiddleware:
    """Answer Overloaded (FR-012), not logged one by one but counted.

    A browser's request goes on to the gate, which refuses it with its CORS headers.
    """

    def __init__(self, app: ASGIApp, limiter: ConcurrencyLimiter) -> None:
        self.app = app
        self._limiter = limiter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if self._limiter.has_room or scope["type"] != "http" or self._may_pass(scope):
            await self.app(scope, receive, send)
            return
        self._limiter.count_refusal()
        closing = has_body(scope) and not await arrived(scope, receive)
        identity = request_id(scope["headers"])
        error = Overloaded()
        path = scope.get("raw_path") or scope["path"].encode()
        body = problem(error, path.decode("ascii", "replace"), identity)
        headers = {
            "Content-Type": MEDIA_TYPE,
            "Content-Length": str(len(body)),
            "X-Request-Id": identity,
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            **(error.headers or {}),
            **({"Connection": "close"} if closing and scope["http_version"] < "2" else {}),
        }
        encoded = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": 503, "headers": encoded})
        await send({"type": "http.response.body", "body": body, "more_body": closing})
        if closing:
            await discard(receive)
            await send({"type": "http.response.body", "body": b""})

    def _may_pass(self, scope: Scope) -> bool:
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if not path.startswith(PREFIX) or any(name == b"origin" for name, _ in scope["headers"]):
            return True
        return self._limiter.has_place(bearer_credential(scope) or "")
