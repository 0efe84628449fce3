"""Lines of a record's history, written with a change."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import pytest

from remotejob.domain import command_changes
from remotejob.domain.changes import Change
from remotejob.domain.history import LINES_KEPT, Action, appended, entered, first_line
from remotejob.names import Field
from remotejob.testing.conformance import samples
from remotejob.testing.conformance.samples import NOW


def _lines(number: int) -> frozenset[str]:
    found = (first_line(Action.PAUSED, at_ms=NOW - 1 - n, actor="ana") for n in range(number))
    return frozenset().union(*found)


def _written(change: Change) -> Collection[str]:
    assert not (Field.HISTORY in change.set and Field.HISTORY in change.include)
    written = change.set.get(Field.HISTORY, change.include.get(Field.HISTORY))
    assert isinstance(written, frozenset)
    return written


@pytest.mark.parametrize("number", [0, LINES_KEPT - 2, LINES_KEPT - 1, LINES_KEPT])
@pytest.mark.parametrize("order", ["entered", "entered, appended", "appended, entered"])
def test_a_change_may_write_two_lines(number: int, order: str) -> None:
    record = replace(samples.failed(), history=_lines(number) or None)
    change = command_changes.restart(record, now_ms=NOW)
    one, two = Action.RESTARTED, Action.RESUMED
    if order == "appended, entered":
        change = appended(change, one, at_ms=NOW, actor="ana")
    else:
        change = entered(change, record, one, actor="ana", at_ms=NOW)
    if order == "entered, appended":
        change = appended(change, two, at_ms=NOW, actor="ana")
    else:
        change = entered(change, record, two, actor="ana", at_ms=NOW)

    new = {line for action in (one, two) for line in first_line(action, at_ms=NOW, actor="ana")}
    written = frozenset(_written(change))
    assert written >= new
    if order != "entered, appended":
        stored = written if Field.HISTORY in change.set else written | _lines(number)
        assert len(stored) == min(number + 2, LINES_KEPT)
