"""Measure all systems in one run: start-up, idle, busy in turns, and killed."""

from __future__ import annotations

from benchmarks.bench import Bench
from benchmarks.measured import Result
from benchmarks.measuring import Busy, Plan, best, busy, idle, killed, say
from benchmarks.systems import SYSTEMS, Ours, System


def run(bench: Bench, plan: Plan, *, only: str | None = None) -> list[Result]:
    """Measure the systems. The error of one that fails goes to its result; the others continue."""
    wanted = [
        one
        for one in SYSTEMS
        if (only.lower() in one.name.lower() if only is not None else one.quick or not plan.quick)
    ]
    results = [Result(system=system, problem=system.missing()) for system in wanted]
    runnable = [result for result in results if result.problem is None]
    _idle(bench, runnable, plan)
    _busy(bench, runnable, plan)
    if plan.kill:
        _killed(bench, runnable)
    return results


def _idle(bench: Bench, results: list[Result], plan: Plan) -> None:
    by_name = {result.system.name: result for result in results}
    measured = [
        result.system
        for result in results
        if result.system.idle_as is None or result.system.idle_as not in by_name
    ]
    found = idle(bench, measured, plan)
    for result in results:
        system = result.system
        outcome = found[system.name if system in measured else system.idle_as or ""]
        if isinstance(outcome, str):
            result.problem = outcome
        else:
            result.idle = outcome


def _busy(bench: Bench, results: list[Result], plan: Plan) -> None:
    done: dict[str, list[Busy]] = {result.system.name: [] for result in results}
    # in turns, so that a disturbance of the machine affects all systems
    for number in range(plan.repetitions):
        for result in results:
            system = result.system
            if result.idle is None:
                continue
            say(f"{system.name}: {plan.jobs} jobs, {number + 1} of {plan.repetitions}")
            try:
                done[system.name].append(busy(bench, system, result.idle, plan.jobs))
            except Exception as problem:  # noqa: BLE001 (as in `idle`)
                result.problem = f"{type(problem).__name__}: {problem}"
                say(result.problem)
            if isinstance(system, Ours):
                result.record_bytes = bench.record_bytes()
    for result in results:
        if done[result.system.name]:
            result.repetitions = done[result.system.name]
            result.busy = best(done[result.system.name])


def _killed(bench: Bench, results: list[Result]) -> None:
    for result in results:
        system: System = result.system
        if result.busy is None or system.idle_as is not None:
            continue
        say(f"{system.name}: killing its worker while it runs jobs")
        try:
            result.killed = killed(bench, system)
        except Exception as problem:  # noqa: BLE001 (as in `idle`)
            result.problem = f"{type(problem).__name__}: {problem}"
            say(result.problem)
