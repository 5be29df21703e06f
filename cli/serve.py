"""A page on the loopback address, for `view --serve`: to whoever asks for just that address on this machine."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

__all__ = ["page_server", "serve_page"]


def page_server(page: bytes) -> ThreadingHTTPServer:
    """A server on a free port of 127.0.0.1, not yet running. Other paths are not found; requests that name another host
    are refused, so that no page of a stranger's reads this one by a name that leads here.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.headers.get("Host") not in (f"127.0.0.1:{server.server_port}", f"localhost:{server.server_port}"):
                self.send_error(403)
                return
            if self.path != "/":
                self.send_error(404)
                return
            self.send_response(200)
            for name, value in (
                ("Content-Type", "text/html; charset=utf-8"),
                ("Content-Length", str(len(page))),
                ("X-Content-Type-Options", "nosniff"),
                ("Cache-Control", "no-store"),
            ):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    return server


def serve_page(page: bytes, say: Callable[[str], object] | None) -> None:
    """Serve until Ctrl-C. say: is told the address."""
    with page_server(page) as server:
        if say is not None:
            say(f"http://127.0.0.1:{server.server_port}/")
        with suppress(KeyboardInterrupt):
            server.serve_forever()
