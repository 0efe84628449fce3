"""The container's entry point: serves the queue named in the environment until a signal stops it.

It works in this process or, if the environment asks for them, in child processes that run this same
program.
"""

from __future__ import annotations

import importlib
import logging
import os
import socket
import sys
import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from remotejob import hooks
from remotejob.backends.aws import from_environment
from remotejob.backends.clock import SystemClock
from remotejob.container import metrics, smoke
from remotejob.container.chained_writes import mark_writes
from remotejob.container.ecs_task import ecs_task
from remotejob.container.health import health_file, processes
from remotejob.container.logs import log_as_json
from remotejob.container.stopping import ends, stop_on_signals
from remotejob.domain.errors import RemoteJobError, SettingsError
from remotejob.names import DEFAULT_TASKS, MIN_FREE_DISK_PERCENT, Env
from remotejob.tasks import registry
from remotejob.tasks.forked import OnlyHere
from remotejob.tasks.import_place import place_of
from remotejob.worker.executors.processes.environment import hide_this_process
from remotejob.worker.executors.processes.program import ChildProgram
from remotejob.worker.lifecycle.presence import report_failed_start
from remotejob.worker.lifecycle.protection_policy import AGENT, Guard
from remotejob.worker.lifecycle.supervised import Supervised
from remotejob.worker.lifecycle.supervisor import GIVES_UP, Supervisor, SupervisorOptions
from remotejob.worker.worker import STOP_MARGIN, Worker, WorkerOptions

if TYPE_CHECKING:
    from remotejob.worker.lifecycle.ecs_protection import Protection

log = logging.getLogger("remotejob.container")

_KILLING: Final = timedelta(seconds=3)
_MOST_FREE: Final = 90
"""Percent."""
_REPORTING: Final = 5.0
"""Seconds to report that the worker cannot start."""
_PATIENCE: Final = timedelta(seconds=1)
"""How long to wait for ECS to end the task's protection; if it does not, no harm is done."""


def main() -> int:
    """Run the worker, or its children. If it cannot start, it exits with status 2."""
    try:
        log_as_json()
        # before the tasks are imported: many make their clients there
        mark_writes()
        supervised = Supervised.from_environment(os.environ)
        if supervised is None and (wanted := processes(os.environ)):
            return _supervise(wanted)
        return _work(supervised)
    except RemoteJobError as problem:
        log.critical("the worker cannot start: %s", problem)
        _report(problem)
        return 2


def _report(problem: RemoteJobError) -> None:
    """Write why the worker cannot start, for `why` and `workers`, if that is possible soon."""

    def write() -> None:
        try:
            report_failed_start(
                from_environment(),
                # one a host: each try replaces the last
                worker=socket.gethostname(),
                queue=os.environ.get(Env.QUEUE, "default"),
                problem=problem,
                ecs_task=ecs_task(os.environ),
            )
        except Exception as reason:  # noqa: BLE001 (the log has said it)
            log.warning("cannot report that: %s", reason)

    # a daemon: without an answer, the process ends all the same
    writing = threading.Thread(target=write, name="report", daemon=True)
    writing.start()
    writing.join(_REPORTING)


def _supervise(children: int) -> int:
    # hooks only, no tasks: an import that crashes may end a child, which we restart, but not us
    _import_hooks()
    # from the tasks' processes that run without credentials
    hide_this_process()
    command = (sys.executable, *sys.orig_argv[1:])
    options = SupervisorOptions(command=command, processes=children)
    protection = _protection()
    supervisor = Supervisor(options, on_event=hooks.registry.tell_child_restarted, guard=protection)
    # even on a HARD stop, the children may take their margin, and it waits for them
    stop_on_signals(
        supervisor.stop, grace=options.grace - STOP_MARGIN, margin=STOP_MARGIN + _KILLING
    )
    try:
        return supervisor.run()
    finally:
        ends()
        if protection is not None:
            protection.close(_PATIENCE)


def _work(supervised: Supervised | None) -> int:
    if supervised is not None:
        supervised.stop_with_parent()
    # a container has one protection; with child processes, the supervisor controls it
    protection = _protection() if supervised is None else None
    worker, grace = _worker(supervised, supervised or protection)
    stop_on_signals(worker.stop, grace=grace, margin=STOP_MARGIN)
    if supervised is not None:
        supervised.begun()
    clean = worker.run()
    status = 0 if worker.gave_up is None else GIVES_UP
    ends()
    if protection is not None:
        protection.close(_PATIENCE)
    if not clean:
        # exit at once: other workers may already run the jobs that were given back
        logging.shutdown()
        os._exit(status)
    return status


def _protection() -> Protection | None:
    """The container's ECS task protection, started; None without an ECS agent."""
    agent = os.environ.get(AGENT)
    if not agent:
        return None
    from remotejob.worker.lifecycle.ecs_protection import Protection

    protection = Protection(agent, SystemClock())
    protection.start()
    return protection


def _write_once(value: str) -> bool:
    """Raises: SettingsError."""
    if value not in ("on", "off"):
        raise SettingsError(f"{Env.WRITE_ONCE}={value!r}: use on or off")
    return value == "on"


def _worker(supervised: Supervised | None, guard: Guard | None) -> tuple[Worker, timedelta]:
    """The worker, and how long its jobs may go on when it stops."""
    _import(Env.TASKS, os.environ.get(Env.TASKS, DEFAULT_TASKS), registers="tasks")
    smoke.register(registry)
    _import_hooks()
    concurrency = os.environ.get(Env.CONCURRENCY, "4")
    if not concurrency.isdecimal() or int(concurrency) == 0:
        raise SettingsError(f"{Env.CONCURRENCY}={concurrency!r}: use a whole number, 1 or more")
    installation = replace(
        from_environment(),
        hooks=hooks.registry,
        write_once_outputs=_write_once(os.environ.get(Env.WRITE_ONCE, "off")),
    )
    queue = os.environ.get(Env.QUEUE, "default")
    modules = (os.environ.get(Env.TASKS, DEFAULT_TASKS),)
    options = WorkerOptions(
        queue=queue,
        name=_name(os.getpid()),
        concurrency=int(concurrency),
        health_file=health_file(supervised.number if supervised is not None else None),
        abilities=_abilities(),
        guard=guard,
        replaces=(
            _name(supervised.replaces)
            if supervised is not None and supervised.replaces is not None
            else None
        ),
        ecs_task=ecs_task(os.environ),
        min_free_disk_percent=_min_free_disk_percent(),
        children=ChildProgram(modules=modules, logging="remotejob.container.child:prepare"),
        write_metrics=(
            metrics.writer(system=installation.name, queue=queue)
            if metrics.wanted(os.environ)
            else None
        ),
    )
    return Worker(installation, registry, options), options.grace


def _name(process: int) -> str:
    return f"{socket.gethostname()}.{process}"


def _abilities() -> tuple[str, ...] | None:
    text = os.environ.get(Env.ABILITIES)
    if text is None:
        return None
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    if not names:
        raise SettingsError(f"{Env.ABILITIES}={text!r}: name tasks of the queue, or unset it")
    return names


def _min_free_disk_percent() -> int:
    text = os.environ.get(Env.MIN_FREE_DISK, str(MIN_FREE_DISK_PERCENT))
    if not (text.isascii() and text.isdecimal()) or int(text) > _MOST_FREE:
        raise SettingsError(
            f"{Env.MIN_FREE_DISK}={text[:200]!r}: use a whole number from 0 to {_MOST_FREE}"
        )
    return int(text)


def _import_hooks() -> None:
    module = os.environ.get(Env.HOOKS)
    if module is not None:
        _import(Env.HOOKS, module, registers="hooks")


def _import(variable: Env, module: str, *, registers: str) -> None:
    try:
        with OnlyHere():
            importlib.import_module(module)
    except ImportError as problem:
        raise SettingsError(
            f"{variable}={module!r} cannot be imported ({_with_place(problem)}): name the module "
            f"whose import registers the {registers}, and add the packages it needs to the image"
        ) from problem
    except (Exception, SystemExit) as problem:
        kind = type(problem).__name__
        raise SettingsError(
            f"{variable}={module!r}: its import failed with {_with_place(problem, kind)}; "
            f"let it only register the {registers}"
        ) from problem


def _with_place(problem: BaseException, kind: str | None = None) -> str:
    parts = (place_of(problem, root=Path.cwd()), kind, str(problem))
    return ": ".join(part for part in parts if part)
