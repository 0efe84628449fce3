"""Entry point of the container: serve the queue named in the environment until told to stop.

It works in this process or, if told to, in children that run this same program.
"""

from __future__ import annotations

import importlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable

from pythonjsonlogger.json import JsonFormatter

from remotejob import hooks
from remotejob.backends.aws import from_environment
from remotejob.domain.errors import RemoteJobError, SettingsError
from remotejob.names import Env
from remotejob.tasks import registry
from remotejob.worker.supervised import Supervised
from remotejob.worker.supervisor import Supervisor, SupervisorOptions
from remotejob.worker.worker import Worker, WorkerOptions
from worker_container.health import health_file, processes

log = logging.getLogger("worker_container")


def main() -> int:
    """Run the worker, or its children; exit status 2 when it cannot begin."""
    _log_as_json()
    try:
        supervised = Supervised.from_environment(os.environ)
        if supervised is None and (wanted := processes(os.environ)):
            return _supervise(wanted)
        return _work(supervised)
    except RemoteJobError as problem:
        log.critical("the worker cannot start: %s", problem)
        return 2


def _supervise(children: int) -> int:
    # its own hooks alone: what the tasks import may take a process down, and a child starts again
    _import_hooks()
    command = (sys.executable, *sys.orig_argv[1:])
    supervisor = Supervisor(
        SupervisorOptions(command=command, processes=children),
        on_event=hooks.registry.tell_child_restarted,
    )
    _on_signal(supervisor.stop)
    return supervisor.run()


def _work(supervised: Supervised | None) -> int:
    if supervised is not None:
        supervised.stop_with_parent()
    worker = _worker(child=supervised.number if supervised is not None else None)
    _on_signal(worker.stop)
    if supervised is not None:
        supervised.begun()
    if not worker.run():
        # jobs that were given back may run elsewhere by now: nothing here may go on
        logging.shutdown()
        os._exit(0)
    return 0


def _on_signal(stop: Callable[[], None]) -> None:
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_number, lambda *_: stop())


def _worker(*, child: int | None) -> Worker:
    _import(Env.TASKS, os.environ.get(Env.TASKS, "worker_container.tasks"), registers="tasks")
    _import_hooks()
    concurrency = os.environ.get(Env.CONCURRENCY, "4")
    if not concurrency.isdecimal() or int(concurrency) == 0:
        raise SettingsError(f"{Env.CONCURRENCY}={concurrency!r}: use a whole number from 1")
    options = WorkerOptions(
        queue=os.environ.get(Env.QUEUE, "default"),
        name=f"{socket.gethostname()}.{os.getpid()}",
        concurrency=int(concurrency),
        health_file=health_file(child),
        abilities=_abilities(),
    )
    return Worker(from_environment(), registry, options)


def _abilities() -> tuple[str, ...] | None:
    text = os.environ.get(Env.ABILITIES)
    if text is None:
        return None
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if not names:
        raise SettingsError(f"{Env.ABILITIES}={text!r}: name tasks of the queue, or leave it out")
    return names


def _import_hooks() -> None:
    module = os.environ.get(Env.HOOKS)
    if module is not None:
        _import(Env.HOOKS, module, registers="hooks")


def _import(variable: Env, module: str, *, registers: str) -> None:
    try:
        importlib.import_module(module)
    except ImportError as problem:
        raise SettingsError(
            f"{variable}={module!r} cannot be imported ({problem}): name the module whose import "
            f"registers the {registers}, and add what it needs to the image"
        ) from problem


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
