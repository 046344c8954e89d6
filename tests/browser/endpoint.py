"""Runs a partner's endpoint in a thread: playwright's event loop occupies the thread of the tests."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Endpoint:
    """Holds what the endpoint answers now, and the bodies that it got."""

    url: str
    status: int = 200
    got: list[bytes] = field(default_factory=list)


@contextmanager
def endpoint(status: int = 200) -> Iterator[Endpoint]:
    """Serve POSTs on a free port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            here.got.append(self.rfile.read(int(self.headers["content-length"])))
            body = b'{"received": true}'
            self.send_response(here.status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Write nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        here = Endpoint(f"http://127.0.0.1:{server.server_port}/hook", status)
        serving = threading.Thread(target=server.serve_forever, args=(0.05,))
        serving.start()
        try:
            yield here
        finally:
            server.shutdown()
            serving.join()
