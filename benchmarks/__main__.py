"""Measure the cost of a job. Requests are counted at the server.

python -m benchmarks            all systems side by side, then everything else
python -m benchmarks --quick    two minutes: fewer jobs, one repetition, no kill, no growth
python -m benchmarks growth     how requests, CPU and memory grow
python -m benchmarks due        the scheduler with very many jobs due at once
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import due_at_once, growth, in_memory, side_by_side
from benchmarks.bench import Bench
from benchmarks.measuring import Plan
from benchmarks.processes import supported
from benchmarks.report import heading
from benchmarks.results import as_dict, show
from remotejob.jobs.queries.prices import list_prices

_QUICK = Plan(jobs=400, repetitions=1, latencies=3, idle_s=8, kill=False, quick=True)
_PARTS = ("all", "peers", "growth", "memory", "due")


def main() -> int:
    """Measure and print. Exits with status 1 when a counted figure misses its bar."""
    options = _options()
    if not supported():
        print("the benchmarks read CPU times from /proc: run them on Linux", file=sys.stderr)
        return 2
    # run all cleanup on SIGTERM as on Ctrl-C; a shell may have set SIGINT to be ignored
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    found: dict[str, Any] = {"heading": heading()}
    try:
        missed = _measure(options, found)
    except KeyboardInterrupt:
        print("interrupted; all started processes have been ended", file=sys.stderr)
        return 130
    finally:
        if options.json is not None:
            options.json.parent.mkdir(parents=True, exist_ok=True)
            text = json.dumps(found, indent=2, ensure_ascii=False)
            options.json.write_text(text, encoding="utf-8")
    return int(missed)


def _measure(options: argparse.Namespace, found: dict[str, Any]) -> bool:
    """Fill `found` part by part; return whether a counted figure misses its bar."""
    missed = False
    whole = options.part == "all" and not options.quick
    if options.part in ("all", "peers", "growth"):
        with Bench() as bench:
            if options.part != "growth":
                missed = _side_by_side(bench, options, found)
            if options.part == "growth" or whole:
                found["growth"] = growth.run(bench, most=options.most)
    if options.part in ("all", "memory", "growth"):
        found["in_memory"] = in_memory.run(10_000 if options.quick else options.most_in_memory)
    if options.part == "due" or whole:
        due_at_once.run(options.due)
    return missed


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("part", nargs="?", choices=_PARTS, default="all")
    parser.add_argument("--quick", action="store_true", help="fewer jobs, once; no kill, no growth")
    parser.add_argument("--only", metavar="NAME", help="only systems with this in their name")
    parser.add_argument("--jobs", type=int, metavar="N", help="no-op jobs per repetition")
    parser.add_argument("--repetitions", type=int, metavar="N", help="the best one counts")
    parser.add_argument(
        "--most", type=int, default=10_000, metavar="N", help="most jobs in the growth part"
    )
    parser.add_argument(
        "--most-in-memory",
        type=int,
        default=100_000,
        metavar="N",
        help="most jobs in the in-memory part",
    )
    parser.add_argument("--due", type=int, default=100_000, metavar="N", help="jobs due at once")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all results there")
    return parser.parse_args()


def _side_by_side(bench: Bench, options: argparse.Namespace, found: dict[str, Any]) -> bool:
    plan = _QUICK if options.quick else Plan()
    overrides = {name: getattr(options, name) for name in ("jobs", "repetitions")}
    plan = replace(plan, **{name: value for name, value in overrides.items() if value is not None})
    prices = list_prices()
    results = side_by_side.run(bench, plan, only=options.only)
    show(results, plan, prices)
    found["side_by_side"] = summary = as_dict(results, plan, prices)
    return any(bar["kind"] == "count" and not bar["passed"] for bar in summary["bars"])


if __name__ == "__main__":
    sys.exit(main())
