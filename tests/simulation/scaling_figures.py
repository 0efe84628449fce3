"""Prints the figures of docs/reliability.md: `python -m tests.simulation.scaling_figures SEEDS`."""

from __future__ import annotations

import sys

from tests.simulation.fleet_world import Findings, FleetWorld
from tests.simulation.scaling_scenarios import SCENARIOS


def main() -> None:
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    print(
        "| scenario | jobs | first starts after | longest excess | longest sleep | needless changes"
        " | cut off | starts | failed | changes an hour | used |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for name, made in SCENARIOS.items():
        found = [FleetWorld(made(seed)).run() for seed in range(seeds)]
        print(f"| {name} | {_row(found, hours=made(0).hours)} |")


def _row(found: list[Findings], *, hours: float) -> str:
    count = len(found)
    waits = sorted(wait for one in found for wait in one.waits_s[:1])
    worked = sum(one.worker_s for one in found)
    cells = (
        f"{sum(one.done for one in found) / count:,.0f}",
        f"{waits[len(waits) // 2]:.0f} s, at most {waits[-1]:.0f}" if waits else "never",
        f"{max(one.excess_ticks for one in found)} ticks",
        f"{max(one.stuck_ticks for one in found)} ticks",
        f"{sum(one.needless_changes for one in found)}",
        f"{sum(one.interrupted for one in found)}",
        f"{sum(one.starts for one in found) / count:.0f}",
        f"{sum(one.failed for one in found) / count:.0f}",
        f"{sum(one.changes for one in found) / count / hours:.1f}",
        f"{sum(one.busy_s for one in found) / worked:.0%}" if worked else "0%",
    )
    return " | ".join(cells)


if __name__ == "__main__":
    main()
