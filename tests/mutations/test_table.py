"""The table of mutations fits the code and the page."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.docs.test_heritage import ROWS, Row, quoted
from tests.mutations.table import Mutation, read
from tests.mutations.tree import Tree

MUTATIONS = read()


def rows_of(mutation: Mutation) -> list[Row]:
    return [row for row in ROWS if (row.section, row.theirs) == (mutation.section, mutation.row)]


@pytest.mark.parametrize("mutation", MUTATIONS, ids=str)
def test_each_changes_the_code_and_is_caught_by_tests_that_its_row_names(
    mutation: Mutation,
) -> None:
    text = Path(mutation.file).read_text()
    assert mutation.applied_to(text) != text
    (row,) = rows_of(mutation)
    assert mutation.caught_by
    assert set(mutation.caught_by) <= set(quoted(row.shown_by))


def test_none_is_there_twice() -> None:
    made = [(one.file, one.find, one.replace, one.row) for one in MUTATIONS]
    assert len(set(made)) == len(made)


def test_a_change_that_breaks_nothing_is_missed_and_one_that_breaks_the_claim_is_not(
    tmp_path: Path,
) -> None:
    harm = Mutation(
        section="forerunner",
        row="nothing of the page",
        file="remotejob/domain/priority.py",
        find="    CRITICAL = -15",
        replace="    CRITICAL = -16",
        caught_by=(
            "tests/heritage/test_job_collection.py"
            "::test_priorities_have_the_names_and_numbers_they_had",
        ),
    )
    none = replace(harm, replace="    CRITICAL = -15  # as before")
    # of two tests that should notice, one does not
    unmoved = "tests/heritage/test_job_collection.py::test_a_job_has_one_of_the_same_seven_states"
    half = replace(harm, caught_by=(*harm.caught_by, unmoved))
    with Tree(tmp_path) as tree:
        assert tree.try_out(none).missed_by == harm.caught_by
        assert tree.try_out(harm).caught
        assert tree.try_out(half).missed_by == (unmoved,)
        # and the copy is whole again
        assert tree.failing(harm.caught_by) == []


def test_a_change_that_can_be_made_in_two_places_or_none_is_refused() -> None:
    mutation = replace(MUTATIONS[0], find="import")
    with pytest.raises(ValueError, match="must be once"):
        mutation.applied_to("import os\nimport sys\n")
    with pytest.raises(ValueError, match="0 times"):
        mutation.applied_to("")
