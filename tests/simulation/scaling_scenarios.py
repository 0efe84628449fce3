"""The scenarios of scaling, each by its name; a seed makes each another one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from tests.simulation.fleet_world import Scenario


def _one(seed: int) -> Scenario:
    return Scenario(seed=seed, hours=1, bursts=((1, 1),), job_s=(1, 5))


def _bursts(seed: int) -> Scenario:
    sizes = (1, 7, 40, 300, 2_000)
    return Scenario(
        seed=seed,
        hours=6,
        bursts=tuple((5 + 60 * n, size) for n, size in enumerate(sizes)),
        job_s=(5, 90),
    )


def _million(seed: int) -> Scenario:
    return Scenario(
        seed=seed, hours=2, bursts=((3, 1_000_000),), job_s=(30, 60), max_workers=100,
        jobs_at_a_time=16,
    )  # fmt: skip


def _trickle(seed: int) -> Scenario:
    return Scenario(seed=seed, trickle_s=400, job_s=(5, 60))


def _steady(seed: int) -> Scenario:
    return Scenario(seed=seed, trickle_s=3, job_s=(30, 90), hours=3)


def _long(seed: int) -> Scenario:
    return Scenario(seed=seed, bursts=((2, 9),), job_s=(1_800, 7_200), jobs_at_a_time=1)


def _missing(seed: int) -> Scenario:
    return Scenario(seed=seed, bursts=((5, 100), (90, 100)), trickle_s=500, missing=0.2, late_s=60)


def _no_nudge(seed: int) -> Scenario:
    return Scenario(seed=seed, trickle_s=900, nudges=False)


def _broken(seed: int) -> Scenario:
    return Scenario(seed=seed, bursts=((2, 400),), fails=lambda _: 1.0, most_starts=70)


def _mended(seed: int) -> Scenario:
    return Scenario(
        seed=seed, bursts=((2, 400),), fails=lambda minute: 1.0 if minute < 60 else 0.0, hours=6
    )


def _unlucky(seed: int) -> Scenario:
    return Scenario(seed=seed, bursts=((2, 400), (120, 400)), fails=lambda _: 0.1)


def _spot(seed: int) -> Scenario:
    return Scenario(seed=seed, bursts=((2, 2_000),), job_s=(30, 90), reclaimed_an_hour=0.5)


def _quota(seed: int) -> Scenario:
    return Scenario(seed=seed, bursts=((2, 3_000),), job_s=(20, 60), quota=6)


SCENARIOS: Final[Mapping[str, Callable[[int], Scenario]]] = {
    "one job": _one,
    "bursts of 1 to 2,000": _bursts,
    "a million jobs": _million,
    "a job now and then": _trickle,
    "a steady stream": _steady,
    "long jobs": _long,
    "late and missing counts": _missing,
    "without nudges": _no_nudge,
    "no worker starts": _broken,
    "none starts for an hour": _mended,
    "one start in ten fails": _unlucky,
    "Spot takes half in an hour": _spot,
    "a quota of six": _quota,
}
