"""Which requests of a scenario meet its fault: some in `make test`, all of them in `make test-all`.

The requests are every so manieth one, and the last. Which one is the first depends on the fault,
so that what a crash after a request leaves out, a crash before the next one may try. Nothing is
drawn at random: a case tries the same requests each time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import pytest

from remotejob.testing.crashes import Schedule


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """Of the requests that a fault can strike, those that a case tries."""

    every: int
    others: bool = False
    """The ones that the sample leaves out, in its place."""

    def of(self, requests: Sequence[int], fault: StrEnum) -> list[int]:
        first = list(type(fault)).index(fault) % self.every
        chosen = {*requests[first :: self.every], *requests[-1:]}
        return [number for number in requests if (number in chosen) is not self.others]


EVERY_REQUEST: Final = Sample(every=1)

_CASES: Final = 6
"""So many cases of a test run in `make test`, and of the further ones every sixth."""


def thin_out(items: Iterable[pytest.Item]) -> None:
    """Leave most cases of a test that has many to `make test-all`.

    The same ones each time, spread over all in the order of their names.
    """
    tests: defaultdict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        if item.get_closest_marker("exhaustive") is None:
            tests[item.nodeid.partition("[")[0]].append(item)
    for cases in tests.values():
        further = len(cases) - _CASES
        if further <= 0:
            continue
        kept = _CASES + further // _CASES
        cases.sort(key=lambda item: item.nodeid)
        chosen = {number * (len(cases) - 1) // (kept - 1) for number in range(kept)}
        for number, item in enumerate(cases):
            if number not in chosen:
                item.add_marker(pytest.mark.exhaustive)


def sampled(every: int, *of: str) -> list[Any]:
    """A sample, and what it leaves out: cases of a test that tries both.

    `of` is what the cases have before it.
    """
    return [
        pytest.param(*of, Sample(every=every), id="-".join((*of, "sample"))),
        pytest.param(
            *of,
            Sample(every=every, others=True),
            id="-".join((*of, "others")),
            marks=pytest.mark.exhaustive,
        ),
    ]


def some(cases: Sequence[Any], every: int) -> list[Any]:
    """Every so manieth case, and the others in `make test-all` only."""
    return [
        case
        if number % every == 0
        else pytest.param(
            *(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.exhaustive
        )
        for number, case in enumerate(cases)
    ]


def each_request(
    run: Callable[[int], Schedule],
    fault: StrEnum,
    sample: Sample,
    *,
    exposed: int | None = None,
    first: int = 1,
    stride: int = 1,
) -> int:
    """Run with a fault at each request of the sample.

    `exposed` is how many requests there are; where it is not known, a run without a fault tells.
    Sampled is every `stride`-th request from `first` on; how many these are, is returned.
    """
    if exposed is None:
        exposed = run(0).exposed
    requests = range(first, exposed + 1, stride)
    for number in sample.of(requests, fault):
        try:
            assert run(number).struck is not None, "the fault was not reached"
        except BaseException as problem:
            problem.add_note(f"{fault} at request {number} of {requests[-1]}")
            raise
    return len(requests)


def on_its_own(name: str, *parts: str) -> Any:
    """A case that may run in another process than the rest of its module."""
    return pytest.param(name, marks=pytest.mark.xdist_group(" ".join((*parts, name))))
