"""The tables and the JSON of the results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from benchmarks import bars
from benchmarks.bench import RECEIVE
from benchmarks.measured import Figures, Result
from benchmarks.measuring import Idle, Killed, Plan, Side, median_and_worst
from benchmarks.report import console, table
from benchmarks.systems import OURS, Way
from remotejob.jobs.queries.prices import Prices

Row = list[str]
_NONE = "-"
_SLOW_MS = 1000
_MINUTES_A_MONTH = 30 * 24 * 60

_COLUMNS = [
    "system", "submitted", "keeps a record", "submit req", "submit CPU", "work req", "work CPU",
    "start CPU", "RSS MiB", "idle req/min", "latency ms", "$ a million", "kill -9",
]  # fmt: skip


def show(results: list[Result], plan: Plan, prices: Prices) -> None:
    """Print everything."""
    table(
        f"{plan.jobs:,} no-op jobs, one worker, concurrency 8: requests a job, CPU seconds per "
        f"1,000 jobs, best of {plan.repetitions}",
        _COLUMNS,
        _rows(results, plan, prices),
    )
    for result in results:
        if result.problem is not None:
            console.print(f"{result.system.name}: left out: {result.problem}", style="red")
    table("the same, as multiples of remotejob's", _COLUMNS[:2] + _COLUMNS[3:11], _ratios(results))
    for side in ("submit", "work"):
        _show_operations(results, side)
    table(
        "what no job causes, and so is in no figure a job: idle polls, which are receives that "
        "brought no message, and signs of life",
        ["system", "idle polls, busy", "signs of life, busy", "in s", "idle polls a minute, idle",
         "$ a month, idle"],
        _caused_by_none(results, plan, prices),
    )  # fmt: skip
    table(
        f"DynamoDB units a job, and dollars a million at list prices of {prices.as_of}, "
        f"{prices.region}, without compute",
        ["system", "submitted", "write units", "read units", "index writes", "SQS", "DynamoDB",
         "S3", "all"],
        _costs(results, prices),
    )  # fmt: skip
    found = bars.check(results, plan, prices)
    table(
        "remotejob against its bars: counts are exact, CPU and latency only indicate",
        ["", "measured", "bar", "", "", ""],
        [
            [one.name, one.shown, one.limit_shown, one.verdict, one.kind, one.reason]
            for one in found
        ],
    )
    console.print("\nsettings of each system", style="bold")
    for result in results:
        console.print(f"{result.system.name}: {result.system.settings}")


def _result_ways(results: list[Result]) -> Iterator[tuple[Result, Way]]:
    for result in results:
        for way in result.system.ways:
            yield result, way


def _rows(results: list[Result], plan: Plan, prices: Prices) -> Iterator[Row]:
    for result, way in _result_ways(results):
        figures = Figures.of(result, way)
        cost = result.cost(way, prices)
        yield [
            result.system.name,
            way.name,
            result.system.keeps,
            _number(figures.submit_requests),
            _number(figures.submit_cpu),
            _number(figures.work_requests),
            _number(figures.work_cpu),
            _number(figures.start_cpu),
            _number(figures.peak_mib, 0),
            ("" if plan.idle_s >= bars.WHOLE_MINUTE_S else "~") + _number(figures.idle_requests, 1),
            _latency(result.idle),
            _NONE if cost is None else f"{cost.total:.2f}",
            _killed(result.killed),
        ]


def _ratios(results: list[Result]) -> Iterator[Row]:
    ours = next((r for r in results if r.system is OURS), None)
    if ours is None or ours.busy is None:
        return
    ways = {way.name: way for way in OURS.ways}
    for result, way in _result_ways(results):
        if result.busy is None:
            continue
        base = Figures.of(ours, ways[way.like]).values()
        yield [
            result.system.name,
            way.name,
            *map(ratio, Figures.of(result, way).values(), base),
        ]


def ratio(value: float | None, base: float | None) -> str:
    """The value as a multiple of the base; a dash if either is missing."""
    if value is None or not base:
        return _NONE
    times = value / base
    return f"{times:.2f}x" if times < 10 else f"{times:.0f}x"


def _show_operations(results: list[Result], side: str) -> None:
    columns: dict[str, Side] = {}
    for result, way in _result_ways(results):
        if result.busy is None:
            continue
        if side == "submit":
            columns[f"{_short(result.system.name)}, {way.name}"] = result.busy.submit[way.name]
        else:
            columns[_short(result.system.name)] = result.busy.work
    operations = sorted({operation for one in columns.values() for operation in one.requests})
    table(
        f"{side}: requests that jobs caused, a job, by operation",
        ["system", *(operation for _, operation in operations), "all"],
        [
            [
                name,
                *(_share(one.requests, key, one.jobs) for key in operations),
                f"{one.requests_a_job:.3f}",
            ]
            for name, one in columns.items()
        ],
    )


def _caused_by_none(results: list[Result], plan: Plan, prices: Prices) -> Iterator[Row]:
    for result in results:
        busy, idle = result.busy, result.idle
        if busy is None:
            continue
        polls = None if idle is None else idle.requests_per_minute[RECEIVE]
        about = "" if plan.idle_s >= bars.WHOLE_MINUTE_S else "~"
        yield [
            result.system.name,
            f"{busy.work.idle_polls:,}",
            f"{busy.work.signs_of_life:,}",
            f"{busy.seconds:,.0f}",
            about + _number(polls, 1),
            _NONE if polls is None else about + _number(_a_month(polls, prices)),
        ]


def _a_month(polls_per_minute: float, prices: Prices) -> float:
    """The dollars of a month of polls."""
    return polls_per_minute * _MINUTES_A_MONTH / 1_000_000 * prices.sqs_million_requests


def _costs(results: list[Result], prices: Prices) -> Iterator[Row]:
    for result, way in _result_ways(results):
        cost = result.cost(way, prices)
        if cost is None or result.busy is None:
            continue
        sides = (result.busy.submit[way.name], result.busy.work)
        yield [
            result.system.name,
            way.name,
            *(
                f"{sum(side.units.get(kind, 0) / side.jobs for side in sides):.2f}"
                for kind in ("write units", "read units", "index writes")
            ),
            *(f"{dollars:.2f}" for dollars in (cost.sqs, cost.dynamodb, cost.s3, cost.total)),
        ]


def as_dict(results: list[Result], plan: Plan, prices: Prices) -> dict[str, Any]:
    """All results for JSON, with CPU in seconds per 1,000 jobs."""
    return {
        "jobs": plan.jobs,
        "repetitions": plan.repetitions,
        "idle_s": plan.idle_s,
        "systems": [_system_as_dict(one, prices) for one in results],
        "bars": [one.as_dict() for one in bars.check(results, plan, prices)],
    }


def _system_as_dict(result: Result, prices: Prices) -> dict[str, Any]:
    idle, killed = result.idle, result.killed
    costs = {way.name: result.cost(way, prices) for way in result.system.ways}
    return {
        "name": result.system.name,
        "keeps_record": result.system.keeps,
        "settings": result.system.settings,
        "problem": result.problem,
        "record_bytes": result.record_bytes,
        "idle": None
        if idle is None
        else {
            "start_cpu_s": idle.start_cpu_s,
            "start_s": idle.start_s,
            "start_requests": _named(idle.start_requests),
            "latencies_ms": idle.latencies_ms,
            "requests_per_minute": _named(idle.requests_per_minute),
            "cpu_per_minute_s": idle.cpu_per_minute_s,
        },
        "repetitions": [
            {
                "submit": {name: _side_as_dict(side) for name, side in one.submit.items()},
                "work": _side_as_dict(one.work),
                "peak_mib": one.peak_mib,
                "seconds": one.seconds,
            }
            for one in result.repetitions or []
        ],
        "dollars_a_million": {
            name: None if cost is None else cost.total for name, cost in costs.items()
        },
        "killed": None
        if killed is None
        else {name: getattr(killed, name) for name in killed.__slots__},
    }


def _side_as_dict(side: Side) -> dict[str, Any]:
    return {
        "jobs": side.jobs,
        "requests": _named(side.requests),
        "idle_polls": side.idle_polls,
        "signs_of_life": side.signs_of_life,
        "cpu_s": side.cpu_ms_a_job,
        "units": side.units,
    }


def _named(requests: Counter[tuple[str, str]]) -> dict[str, float]:
    return {f"{service}:{operation}": n for (service, operation), n in sorted(requests.items())}


def _number(value: float | None, digits: int = 2) -> str:
    return _NONE if value is None else f"{value:,.{digits}f}"


def _latency(idle: Idle | None) -> str:
    if idle is None or not idle.latencies_ms:
        return _NONE
    median, worst = median_and_worst(idle.latencies_ms)
    digits = 0 if median > _SLOW_MS else 1
    return f"{median:,.{digits}f}, {worst:,.0f}"


def _killed(killed: Killed | None) -> str:
    if killed is None:
        return _NONE
    again = f", {killed.ended_again} ended rerun" if killed.ended_again else ""
    return f"{killed.lost} lost, {killed.in_flight_again} of {killed.in_flight} rerun{again}"


def _share(requests: Counter[tuple[str, str]], key: tuple[str, str], jobs: int) -> str:
    return f"{requests[key] / jobs:.3f}" if requests[key] else ""


def _short(name: str) -> str:
    return name.replace(" + ", "+").replace("prefork", "").strip()
