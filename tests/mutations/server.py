"""Runs tests in processes of its own, which need not load what never changes.

Each line of its input is an order; it answers with a line once the tests have ended. It loads
nothing of the checkout itself: each of its children imports the code as it then is.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import pkgutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

import _pytest


def serve() -> None:
    _load_what_never_changes()
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if child == 0:
            os._exit(_run(order))
        if not _ends_within(child, order["patience"]):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            with Path(order["output"]).open("a") as output:
                output.write(f"\nstill running after {order['patience']} s: ended\n")
        print("done", flush=True)


def _ends_within(child: int, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        ended, _ = os.waitpid(child, os.WNOHANG)
        if ended:
            return True
        time.sleep(0.01)
    return False


def _load_what_never_changes() -> None:
    """The large libraries. Not the CDK, which would share one Node process among all children."""
    import boto3  # noqa: F401
    import moto.dynamodb.models
    import moto.s3.models
    import moto.server
    import moto.sqs.models  # noqa: F401
    import pytest  # noqa: F401

    # what only a run of pytest loads
    for module in pkgutil.iter_modules(_pytest.__path__, "_pytest."):
        importlib.import_module(module.name)
    for name in ("pygments.lexers", "pygments.formatters.terminal", "execnet", "requests"):
        importlib.import_module(name)


def _run(order: dict[str, Any]) -> int:
    os.setpgid(0, 0)
    with Path(order["output"]).open("w") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    with Path(os.devnull).open() as nothing:
        os.dup2(nothing.fileno(), 0)

    import pytest

    class OnlyThese:
        """Runs the functions asked for, each until one of its cases has failed."""

        def __init__(self) -> None:
            self.failed: set[str] = set()

        def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
            items[:] = [item for item in items if _function_of(item) in order["functions"]]

        @pytest.hookimpl(tryfirst=True)
        def pytest_runtest_setup(self, item: pytest.Item) -> None:
            # left out altogether, it would leave what the one before has set up to the next
            if _function_of(item) in self.failed:
                pytest.skip("a case of it has failed")

        def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
            if report.failed and report.when == "call":
                self.failed.add(report.location[2].partition("[")[0].rpartition(".")[2])

    only = OnlyThese()
    options = ["-q", "-n", "0", "-p", "no:randomly", "-p", "no:cacheprovider", "--tb=short"]
    code = pytest.main([*options, *order["arguments"]], plugins=[only])
    Path(order["report"]).write_text("\n".join(sorted(only.failed)))
    sys.stdout.flush()
    return int(code)


def _function_of(item: Any) -> str:
    return str(item.name).partition("[")[0]


if __name__ == "__main__":
    serve()
