"""Entry point of the container: serve the queue named in the environment until told to stop."""

from __future__ import annotations

import importlib
import logging
import os
import signal
import socket
import sys

from pythonjsonlogger.json import JsonFormatter

from remotejob.backends.aws import from_environment
from remotejob.domain.errors import RemoteJobError, SettingsError
from remotejob.names import Env
from remotejob.tasks import registry
from remotejob.worker.worker import Worker, WorkerOptions
from worker_container.health import health_file

log = logging.getLogger("worker_container")


def main() -> int:
    """Run the worker; exit status 2 when it cannot begin."""
    _log_as_json()
    try:
        worker = _worker()
    except RemoteJobError as problem:
        log.critical("the worker cannot start: %s", problem)
        return 2
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_number, lambda *_: worker.stop())
    if not worker.run():
        # jobs that were given back may run elsewhere by now: nothing here may go on
        logging.shutdown()
        os._exit(0)
    return 0


def _worker() -> Worker:
    module = os.environ.get(Env.TASKS, "worker_container.tasks")
    try:
        importlib.import_module(module)
    except ImportError as problem:
        raise SettingsError(
            f"{Env.TASKS}={module!r} cannot be imported ({problem}): name the module whose import "
            "registers the tasks, and add what it needs to the image"
        ) from problem
    concurrency = os.environ.get(Env.CONCURRENCY, "4")
    if not concurrency.isdecimal() or int(concurrency) == 0:
        raise SettingsError(f"{Env.CONCURRENCY}={concurrency!r}: use a whole number from 1")
    options = WorkerOptions(
        queue=os.environ.get(Env.QUEUE, "default"),
        name=f"{socket.gethostname()}.{os.getpid()}",
        concurrency=int(concurrency),
        health_file=health_file(),
    )
    return Worker(from_environment(), registry, options)


def _log_as_json() -> None:
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        JsonFormatter(
            "{asctime}{levelname}{name}{message}",
            style="{",
            rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
        )
    )
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    # boto's own lines say nothing a reader of the worker's log wants
    logging.getLogger("botocore").setLevel(logging.WARNING)


if __name__ == "__main__":
    sys.exit(main())
