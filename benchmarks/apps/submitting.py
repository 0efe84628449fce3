"""A submitter: reads commands from standard input, submits jobs, and answers with the time taken.

It ends when standard input ends, so it never outlives the process that started it.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any


def serve(commands: Mapping[str, Callable[..., None]]) -> None:
    """Run one command per line: {"do": name, ...its arguments}."""
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        arguments: dict[str, Any] = json.loads(line)
        command = commands[arguments.pop("do")]
        at_ns, cpu = time.monotonic_ns(), time.process_time()
        command(**arguments)
        spent = time.process_time() - cpu
        seconds = (time.monotonic_ns() - at_ns) / 1e9
        print(json.dumps({"at_ns": at_ns, "cpu": spent, "seconds": seconds}), flush=True)
