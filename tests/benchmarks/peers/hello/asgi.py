"""A constant answer without a framework: the cost of HTTP for any Python server."""

BODY = b'{"hello":"world"}'
START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(BODY))],
}


async def app(scope, receive, send) -> None:
    await send(START)
    await send({"type": "http.response.body", "body": BODY})
