"""`make test` runs a sample of the cases of a test, and the same one each time."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from tests.sampling import thin_out


class _Case(pytest.Item):
    def runtest(self) -> None:
        raise AssertionError("it is not run")


def _cases(request: pytest.FixtureRequest, names: Sequence[str]) -> list[pytest.Item]:
    return [_Case.from_parent(request.session, name=name) for name in names]


def _left(items: Sequence[pytest.Item]) -> set[str]:
    return {item.name for item in items if item.get_closest_marker("exhaustive") is None}


@pytest.mark.parametrize(("cases", "kept"), [(1, 1), (6, 6), (7, 6), (12, 7), (100, 21)])
def test_most_cases_of_a_test_that_has_many_are_left_to_the_long_run(
    request: pytest.FixtureRequest, cases: int, kept: int
) -> None:
    names = [f"test_many[{1000 + number}]" for number in range(cases)]
    items = _cases(request, [*names, "test_other"])
    thin_out(items)
    left = _left(items)
    assert len(left) == kept + 1
    assert {names[0], names[-1], "test_other"} <= left


def test_the_order_of_the_tests_changes_no_sample(request: pytest.FixtureRequest) -> None:
    names = [f"test_many[{number}]" for number in range(100, 140)]
    in_order = _cases(request, names)
    random.Random(1).shuffle(names)
    shuffled = _cases(request, names)
    thin_out(in_order)
    thin_out(shuffled)
    assert _left(in_order) == _left(shuffled)
