"""Connections that stay open from one request to the next, as AWS's do.

werkzeug's server closes each after one answer: a client would pay for a connection with every
request, which on AWS it does not, and what it costs could not be measured.
"""

from __future__ import annotations

import io
from typing import Any, Final

from moto.moto_server.werkzeug_app import MotoRequestHandler

from remotejob.local.callers import answering

_WITHOUT_BODY: Final = frozenset({204, 304})


class Handler(MotoRequestHandler):
    """Answers the requests of one connection, one after the other.

    Bodies are read whole, and answers are whole before they are sent: what a request leaves unread
    would be taken for the next one.
    """

    # Answers go out in small writes, each of which would wait for an acknowledgement.
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
        answering(self.connection)
        told: list[Any] = []

        def start_response(status: str, headers: Any, _exc_info: Any = None) -> Any:
            told[:] = [status, headers]
            return answer.append

        answer: list[bytes] = []
        parts = self.server.app(environ, start_response)
        answer.extend(parts)
        if hasattr(parts, "close"):
            parts.close()
        self._send(told[0], told[1], b"".join(answer))

    def _send(self, status: str, headers: Any, content: bytes) -> None:
        code, _, reason = status.partition(" ")
        self.send_response(int(code), reason)
        for key, value in headers:
            self.send_header(key, value)
        told = {key.lower() for key, _ in headers}
        if "content-length" not in told and int(code) not in _WITHOUT_BODY:
            self.send_header("Content-Length", str(len(content)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
        self.wfile.flush()
