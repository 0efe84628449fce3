"""ECS task protection: keeps ECS from stopping a busy worker to scale in or to deploy.

A thread of its own calls the container's ECS agent over HTTP. The agent may be slow, hang or fail;
no job and no shutdown waits for it. Protection expires and is renewed, so the protection of a dead
worker ends by itself.

Source: Amazon ECS Developer Guide, "Task scale-in protection endpoint".
"""

from __future__ import annotations

import http.client
import json
import logging
import math
import threading
from datetime import timedelta
from typing import Any, Final
from urllib.parse import urlsplit

from remotejob.domain.text import cut
from remotejob.outages import OutageLog, pause_after
from remotejob.ports import Clock

log = logging.getLogger(__name__)

SPAN: Final = timedelta(minutes=15)
"""How long one request protects the task; ECS takes 1 to 2,880 minutes. Renewed after half."""

_PATH: Final = "/task-protection/v1/state"
_TIMEOUT: Final = 4.0
_LEAST_GAP: Final = 10.0
"""Seconds between two calls, except before the last one."""
_FIRST_PAUSE: Final = 5.0
_LONGEST_PAUSE: Final = 300.0
_MOST_BYTES: Final = 65_536
_WHAT: Final = "have ECS protect this task, or no longer"


class Protection:
    """Turns the protection on and off, on a thread of its own and with few calls."""

    def __init__(self, agent: str, clock: Clock) -> None:
        """`agent` is the URI in the variable `AGENT`."""
        self._agent = urlsplit(agent)
        self._clock = clock
        self._outages = OutageLog(clock)
        self._changed = threading.Condition()
        self._wanted = False
        self._closed = False
        self._ends: float | None = None
        """When the protection requested last expires, whether it was granted or not."""
        self._granted = False
        self._not_before = -math.inf
        self._wanted_at_last_step = False
        self._thread: threading.Thread | None = None

    def protect(self) -> None:
        self._want(wanted=True)

    def unprotect(self) -> None:
        self._want(wanted=False)

    def _want(self, *, wanted: bool) -> None:
        # called each second: take no lock unless something changes
        if wanted is self._wanted:
            return
        with self._changed:
            self._wanted = wanted
            self._changed.notify()

    def start(self) -> None:
        """Start the thread that makes the calls."""
        self._thread = threading.Thread(target=self._run, name="protection", daemon=True)
        self._thread.start()

    def close(self, patience: timedelta) -> None:
        """End the protection, and wait for that no longer than `patience`."""
        with self._changed:
            self._wanted, self._closed = False, True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(patience.total_seconds())

    def step(self) -> float:
        """Make the call that is due, if any; return the seconds until the next may be due."""
        now = self._clock.monotonic()
        with self._changed:
            wanted, closed = self._wanted, self._closed
            self._wanted_at_last_step = wanted
        if self._ends is not None and now >= self._ends:
            self._ends, self._granted = None, False
        if wanted:
            due = self._renewal()
        elif self._ends is None:
            return math.inf
        else:
            due = now
        if not closed:
            due = max(due, self._not_before)
        if due > now:
            return due - now
        self._call(wanted=wanted, now=now)
        return 0.0

    def _renewal(self) -> float:
        if self._ends is None or not self._granted:
            return -math.inf
        return self._ends - SPAN.total_seconds() / 2

    def _call(self, *, wanted: bool, now: float) -> None:
        minutes = int(SPAN.total_seconds() // 60)
        request: dict[str, Any] = {"ProtectionEnabled": wanted}
        if wanted:
            request["ExpiresInMinutes"] = minutes
            # from now on the task may be protected, even if no answer comes
            self._ends = now + SPAN.total_seconds()
        try:
            self._put(request)
        except Exception as problem:  # noqa: BLE001 (the work goes on unprotected)
            self._granted = False
            failures = self._outages.failed(_WHAT, problem)
            wait = pause_after(failures, first=_FIRST_PAUSE, longest=_LONGEST_PAUSE)
            self._not_before = self._clock.monotonic() + wait
            return
        self._outages.over(_WHAT)
        log.info("task protection is %s", "on" if wanted else "off")
        self._granted = wanted
        self._ends = self._ends if wanted else None
        self._not_before = self._clock.monotonic() + _LEAST_GAP

    def _put(self, request: dict[str, Any]) -> None:
        """Raises: OSError and others, when no answer confirms the request."""
        # not urllib.request, which uses the environment's proxy: that cannot reach the agent
        connection = http.client.HTTPConnection(
            self._agent.hostname or "", self._agent.port, timeout=_TIMEOUT
        )
        try:
            connection.request(
                "PUT",
                f"{self._agent.path.rstrip('/')}{_PATH}",
                body=json.dumps(request),
                headers={"Content-Type": "application/json"},
            )
            answer = connection.getresponse()
            _check(answer.status, answer.read(_MOST_BYTES), wanted=request["ProtectionEnabled"])
        finally:
            connection.close()

    def _run(self) -> None:
        closed = False
        while not closed:
            # if it was closed meanwhile, the next step is the last
            with self._changed:
                closed = self._closed
            pause = self.step()
            with self._changed:
                same = self._wanted is self._wanted_at_last_step and self._closed is closed
                if pause > 0 and same and not closed:
                    self._changed.wait(None if math.isinf(pause) else pause)


def _check(status: int, body: bytes, *, wanted: bool) -> None:
    """Raises: OSError, when the answer does not confirm the state that was requested."""
    try:
        answer = json.loads(body)
    except ValueError:
        answer = None
    if isinstance(answer, dict):
        failure, error = answer.get("failure"), answer.get("error")
        if isinstance(failure, dict):
            raise OSError(f"{failure.get('Reason')}: {failure.get('Detail')}")
        if isinstance(error, dict):
            raise OSError(f"{error.get('Code')}: {error.get('Message')}")
        protection = answer.get("protection")
        if isinstance(protection, dict) and protection.get("ProtectionEnabled") is wanted:
            return
    raise OSError(f"status {status}: {cut(body.decode(errors='replace'), 200)}")
