"""Holds the code that both Python SDKs share: HTTP by the standard library, and nothing of PulseCart's."""

import json
import sys
from base64 import b64decode, b64encode
from collections.abc import Callable
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from time import sleep
from typing import Any
from urllib.parse import urlsplit

Message = tuple[dict[str, str], bytes | str]
BUSY = 503  # the broker asks to come again
BUSY_S = 0.2


def data_of(asked: dict[str, Any]) -> Any:
    """Return the data as bytes, or None."""
    return None if asked["kind"] == "none" else b64decode(asked["data"])


def as_parsed(asked: dict[str, Any]) -> Any:
    """Return the data as an application would pass it to an SDK: parsed JSON, text, bytes, or None."""
    data = data_of(asked)
    if asked["kind"] == "json":
        return json.loads(data)
    return data.decode() if asked["kind"] == "text" else data


def as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def main(
    arguments: list[str],
    write: Callable[[dict[str, Any]], Message],
    read: Callable[[dict[str, str], bytes], dict[str, Any]],
) -> None:
    _send(arguments[2], write) if arguments[1] == "send" else _receive(arguments[2], read)


def _send(url: str, write: Callable[[dict[str, Any]], Message]) -> None:
    target = urlsplit(url)
    connection = HTTPConnection(target.hostname or "", target.port or 80, timeout=60)
    for line in sys.stdin:
        asked = json.loads(line)
        headers, body = write(asked)
        body = body.encode() if isinstance(body, str) else body
        encoded = {name: str(value).encode() for name, value in headers.items()}
        status, answer = BUSY, ""
        while status == BUSY:
            connection.request("POST", target.path, body=body, headers=encoded)
            response = connection.getresponse()
            status, answer = response.status, response.read().decode()
            sleep(BUSY_S if status == BUSY else 0)
        wire = {"headers": {name: str(value) for name, value in headers.items()}, "body": b64encode(body).decode()}
        _say({"n": asked["n"], "status": status, "answer": answer, **wire})


def _receive(host: str, read: Callable[[dict[str, str], bytes], dict[str, Any]]) -> None:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name: value.encode("latin-1").decode() for name, value in self.headers.items()}
            try:
                got: dict[str, Any] = {"attributes": {k: as_text(v) for k, v in read(headers, body).items()}}
            except Exception as error:  # it is what this test wants to know
                got = {"error": repr(error)}
            _say({**got, "no": self.headers["ce-strangerno"], "data": b64encode(body).decode()})
            self.send_response(204)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer((host, 0), Handler)
    server.daemon_threads = True
    _say({"port": server.server_address[1]})
    Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()


_lock = Lock()


def _say(document: dict[str, Any]) -> None:
    with _lock:
        print(json.dumps(document), flush=True)
