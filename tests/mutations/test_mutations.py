"""For each row of the page, a mutation is caught; `python -m tests.mutations` tries all of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.mutations.table import Mutation, one_of_each_row, read
from tests.mutations.tree import Tree

# so many processes of a run can share them
_GROUPS = 4


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tree]:
    with Tree(tmp_path_factory.mktemp("mutations")) as tree:
        yield tree


def _cases() -> Iterator[object]:
    for number, mutation in enumerate(one_of_each_row(read())):
        group = pytest.mark.xdist_group(f"mutations {number % _GROUPS}")
        yield pytest.param(mutation, id=str(mutation), marks=[pytest.mark.exhaustive, group])


@pytest.mark.parametrize("mutation", list(_cases()))
def test_the_tests_of_its_row_catch_it(mutation: Mutation, tree: Tree) -> None:
    verdict = tree.try_out(mutation)

    assert verdict.missed_by == (), verdict.said
