"""Persistent HTTP connections, as AWS has them.

werkzeug's server closes a connection after each answer. Clients would then open one for every
request, unlike on AWS, and CPU measurements would be wrong.
"""

from __future__ import annotations

import io
from typing import Any, Final

from moto.moto_server.werkzeug_app import MotoRequestHandler

from remotejob.local.callers import set_connection

_WITHOUT_BODY: Final = frozenset({204, 304})


class Handler(MotoRequestHandler):
    """Handles the requests of one connection, one after another.

    It reads each body completely, because unread bytes would be taken for the next request, and
    buffers each answer to know its length.
    """

    # Answers are sent in small writes; with Nagle's algorithm each would wait for an ACK.
    disable_nagle_algorithm = True
    protocol_version = "HTTP/1.1"

    def run_wsgi(self) -> None:
        """Source: WSGI, PEP 3333."""
        self.environ = environ = self.make_environ()
        if environ.get("wsgi.input_terminated"):
            content = environ["wsgi.input"].read()
        else:
            content = self.rfile.read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(content)
        set_connection(self.connection)
        started: list[Any] = []

        def start_response(status: str, headers: Any, _exc_info: Any = None) -> Any:
            started[:] = [status, headers]
            return answer.append

        answer: list[bytes] = []
        parts = self.server.app(environ, start_response)
        answer.extend(parts)
        if hasattr(parts, "close"):
            parts.close()
        self._send(started[0], started[1], b"".join(answer))

    def _send(self, status: str, headers: Any, content: bytes) -> None:
        code, _, reason = status.partition(" ")
        self.send_response(int(code), reason)
        for key, value in headers:
            self.send_header(key, value)
        names = {key.lower() for key, _ in headers}
        if "content-length" not in names and int(code) not in _WITHOUT_BODY:
            self.send_header("Content-Length", str(len(content)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
        self.wfile.flush()
