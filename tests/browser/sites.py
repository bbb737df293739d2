"""A page of another origin."""

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tasks_backend.testing.background import Background

PAGE = b"<!doctype html><title>An application</title><link rel=icon href='data:,'>An application."


class Site(Background):
    """Serves one page under two names, which are two origins for a browser."""

    def __init__(self) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.send_header("Content-Length", str(len(PAGE)))
                self.end_headers()
                self.wfile.write(PAGE)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.listed = f"http://localhost:{self._server.server_port}"
        self.unlisted = f"http://127.0.0.1:{self._server.server_port}"
