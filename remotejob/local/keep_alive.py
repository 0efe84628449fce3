"""Persistent HTTP connections, as AWS has them, for clients that may be hostile.

werkzeug's server closes a connection after each answer. Clients would then open one for every
request, unlike on AWS, and CPU measurements would be wrong.
"""

from __future__ import annotations

import io
import socket
from contextlib import suppress
from http.client import HTTPMessage
from typing import Any, Final
from urllib.parse import unquote

from werkzeug.serving import WSGIRequestHandler

from remotejob.local.callers import set_connection
from remotejob.local.http_body import Body, TimedInput
from remotejob.local.http_head import Head, RefusedHead, read_head

HEAD: Final = "remotejob.head"
"""Key of the request's `Head` in the WSGI environment."""
BODY: Final = "remotejob.body"
"""Key of the request's `Body`; `wsgi.input` is empty."""

_WITHOUT_BODY: Final = frozenset({204, 304})
_IDLE_S: Final = 900.0
_HEAD_S: Final = 30.0
_PIECE_S: Final = 60.0
"""For each mebibyte of content, sent or received."""
_LINGER_S: Final = 2.0
_PIECE: Final = 1 << 20


class _Headers(HTTPMessage):
    """Headers of a request. Of which type its content is, is no reason to parse any."""

    def get_content_maintype(self) -> str:
        return "text"

    def get_content_type(self) -> str:
        return "text/plain"


class Handler(WSGIRequestHandler):
    """Handles the requests of one connection, one after another.

    It buffers each answer to know its length. A request whose content nobody reads is the last of
    its connection, because the unread bytes would be taken for the next request.
    """

    # Answers are sent in small writes; with Nagle's algorithm each would wait for an ACK.
    disable_nagle_algorithm = True
    protocol_version = "HTTP/1.1"
    MessageClass = _Headers

    def setup(self) -> None:
        super().setup()
        self.rfile.close()
        self._input = TimedInput(self.connection)
        self.rfile = io.BufferedReader(self._input)

    def handle_one_request(self) -> None:
        self._input.within(_IDLE_S)
        try:
            begins = self.rfile.peek(1)  # type: ignore[attr-defined]
        except TimeoutError:
            begins = b""
        if not begins:
            self.close_connection = True
            return
        self._input.within(_HEAD_S)
        super().handle_one_request()

    def handle_expect_100(self) -> bool:
        """Wait: who is refused need not send the content at all."""
        return True

    def run_wsgi(self) -> None:
        """Source: WSGI, PEP 3333."""
        try:
            head = read_head(
                request_line=self.requestline,
                version=self.request_version,
                received=self.headers,
            )
        except RefusedHead as problem:
            self.close_connection = True
            # older versions have no status line
            self.request_version = self.protocol_version
            self._send(
                f"{problem.status} -",
                [("Content-Type", "text/plain; charset=utf-8")],
                f"{problem}\n".encode("utf-8", "backslashreplace"),
            )
            self._linger()
            return
        body = Body(self.rfile, head.length, before_piece=self._before_piece)
        self._continue = head.headers.get("expect", "").lower() == "100-continue"
        set_connection(self.connection)
        started: list[Any] = []

        def start_response(status: str, headers: Any, _exc_info: Any = None) -> Any:
            started[:] = [status, headers]
            return answer.append

        answer: list[bytes] = []
        parts = self.server.app(self._environ(head, body), start_response)
        answer.extend(parts)
        if hasattr(parts, "close"):
            parts.close()
        if body.unread:
            self.close_connection = True
        self._send(started[0], started[1], b"".join(answer))
        if body.unread:
            self._linger()

    def _environ(self, head: Head, body: Body) -> dict[str, Any]:
        """The parts of a WSGI environment that do not come from the client's headers."""
        target = f"{head.path}?{head.query}" if head.query else head.path
        return {
            HEAD: head,
            BODY: body,
            "REQUEST_METHOD": head.method,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote(head.path).encode().decode("latin-1"),
            "QUERY_STRING": head.query,
            "REQUEST_URI": target,
            "RAW_URI": target,
            "REMOTE_ADDR": self.client_address[0],
            "SERVER_NAME": self.server.server_address[0],
            "SERVER_PORT": str(self.server.server_address[1]),
            "SERVER_PROTOCOL": self.request_version,
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(),
            "wsgi.errors": io.StringIO(),
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }

    def _before_piece(self) -> None:
        if self._continue:
            self._continue = False
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self._input.within(_PIECE_S)

    def _send(self, status: str, headers: Any, content: bytes) -> None:
        code, _, reason = status.partition(" ")
        self.connection.settimeout(_PIECE_S)
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
            for start in range(0, len(content), _PIECE):
                self.wfile.write(memoryview(content)[start : start + _PIECE])
        self.wfile.flush()

    def _linger(self) -> None:
        """Read for a moment what the client is still sending.

        If we closed at once, the kernel would reset the connection, and the client might not see
        the answer.
        """
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            self._input.within(_LINGER_S)
            while self.rfile.read1(_PIECE):
                pass
