"""A stand-in for the ECS agent of a container: a real HTTP server that a test controls."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

ARN = "arn:aws:ecs:eu-west-1:123456789012:task/cluster/1234567890abcdef0"
TASK_NOT_VALID = {"failure": {"Arn": ARN, "Detail": None, "Reason": "TASK_NOT_VALID"}}
THROTTLED = {
    "requestID": "12345-abc-6789-0123-abc",
    "error": {"Arn": ARN, "Code": "ThrottlingException", "Message": "Rate exceeded"},
}


class Agent:
    """What it was asked, and how it answers."""

    def __init__(self, port: int) -> None:
        # of the form that ECS gives: an address, and a path of the container's own
        self.uri = f"http://127.0.0.1:{port}/api/0123-container"
        self.asked: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        """Bodies of the requests, in order."""
        self.refuses_with: tuple[int, dict[str, Any]] | None = None
        self.hangs = threading.Event()
        """Set, it answers nothing until `lets_go`."""
        self.lets_go = threading.Event()

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
        if (method, path) != ("PUT", "/api/0123-container/task-protection/v1/state"):
            return 404, {"error": {"Code": "NotFound", "Message": f"{method} {path}"}}
        wanted = json.loads(body)
        self.asked.put(wanted)
        if self.hangs.is_set():
            self.lets_go.wait()
        if self.refuses_with is not None:
            return self.refuses_with
        told = {"ExpirationDate": None, "TaskArn": ARN}
        return 200, {"protection": {**told, "ProtectionEnabled": wanted["ProtectionEnabled"]}}

    def all_asked(self) -> list[dict[str, Any]]:
        """What it was asked since the last time."""
        found = []
        while not self.asked.empty():
            found.append(self.asked.get())
        return found


@contextmanager
def agent() -> Iterator[Agent]:
    """An agent that listens on the loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, told = made.answer("PUT", self.path, body)
            answer = json.dumps(told).encode()
            try:
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)
            except (BrokenPipeError, ConnectionResetError):
                # the caller has given up, which some tests are about
                self.close_connection = True

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made = Agent(server.server_port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield made
    finally:
        made.lets_go.set()
        server.shutdown()
        thread.join()
        server.server_close()
