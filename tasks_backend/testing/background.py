"""A server of a test, in a thread while a block runs."""

from socketserver import BaseServer
from threading import Thread
from typing import Self


class Background:
    """Runs `self._server` from the start of the block to its end."""

    _server: BaseServer

    def serve(self) -> None:
        """Serve until `stop`."""
        self._server.serve_forever(0.02)

    def stop(self) -> None:
        """Stop serving, and close the server's socket."""
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> Self:
        Thread(target=self.serve, daemon=True).start()
        return self

    def __exit__(self, *failure: object) -> None:
        self.stop()
