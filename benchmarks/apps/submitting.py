"""A submitter: it is told on standard input what to submit, and answers with what that took.

It ends with its standard input, so it never outlives whoever started it.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any


def serve(commands: Mapping[str, Callable[..., None]]) -> None:
    """Carry out one command a line: {"do": name, ...its arguments}."""
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        wanted: dict[str, Any] = json.loads(line)
        command = commands[wanted.pop("do")]
        at_ns, cpu = time.monotonic_ns(), time.process_time()
        command(**wanted)
        spent = time.process_time() - cpu
        seconds = (time.monotonic_ns() - at_ns) / 1e9
        print(json.dumps({"at_ns": at_ns, "cpu": spent, "seconds": seconds}), flush=True)
