"""A system whose one worker runs what a test registers, and a web server on this machine."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from remotejob import Job, Queue, RunningJob
from remotejob.ports import Installation
from remotejob.tasks import Registry
from remotejob.testing import FakeClock, Simulation, memory_installation
from tests.systems import BACKENDS, installation_on

Run = Callable[..., Job]


@pytest.fixture
def installation(clock: FakeClock) -> Installation:
    return memory_installation(clock)


@pytest.fixture(params=BACKENDS)
def each_installation(request: pytest.FixtureRequest, clock: FakeClock) -> Iterator[Installation]:
    with installation_on(request.param, clock) as made:
        yield made


@pytest.fixture
def run(queue: Queue, installation: Installation, tasks: Registry) -> Run:
    """Submit a job with the arguments of `submit`, run it as given, and return it."""
    return runner(queue, installation, tasks)


def runner(queue: Queue, installation: Installation, tasks: Registry) -> Run:
    worker = Simulation(installation=installation, tasks=tasks)

    def run(function: Callable[[RunningJob], Any], **submitted: Any) -> Job:
        tasks.task("work")(function)
        job = queue.submit("work", **submitted)
        worker.step()
        return job.refresh()

    return run


@dataclass(kw_only=True)
class Page:
    """What the server answers."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    endless: bool = False
    """Bytes one by one, until the reader has gone."""


class Site:
    """A web server on this machine, in a thread."""

    def __init__(self) -> None:
        self.pages: dict[str, Page] = {}
        self.hosts: list[str] = []
        """The Host headers that came."""
        self.paths: list[str] = []
        self.agents: set[str] = set()
        self.given_up = threading.Event()
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.hosts.append(self.headers["Host"])
                site.paths.append(self.path)
                site.agents.add(self.headers["User-Agent"])
                page = site.pages.get(self.path, Page(status=404))
                self.send_response(page.status)
                for name, value in page.headers.items():
                    self.send_header(name, value)
                if not page.endless and "Content-Length" not in page.headers:
                    self.send_header("Content-Length", str(len(page.body)))
                self.end_headers()
                self.wfile.write(page.body)
                while page.endless:
                    try:
                        self.wfile.write(b".")
                        self.wfile.flush()
                    except OSError:
                        site.given_up.set()
                        return

            def log_message(self, *args: object) -> None:
                """Nothing: a test's output is its own."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port: int = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def url(self, path: str, *, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    yield made
    made.close()
