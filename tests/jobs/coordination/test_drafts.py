"""Jobs put together option by option."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from remotejob import InvalidData, Priority, Queue, Repeat, Retry, State, UnknownTask
from remotejob.testing import FakeClock
from tests.jobs.coordination.work import Work


def test_options_chain_and_the_job_has_them_all(queue: Queue, clock: FakeClock) -> None:
    first = queue.submit("work")
    retry, repeat = Retry(max_attempts=3), Repeat(times=2)
    draft = (
        queue.new_job("work", {"size": 1})
        .depends(first)
        .priority(Priority.HIGH)
        .retry(retry)
        .repeat(repeat)
        .delay(timedelta(minutes=5))
        .resource("cat")
        .tenant("acme")
    )

    job = draft.save()

    assert job.data == {"size": 1}
    assert job.depends == (first.id,)
    assert job.priority == Priority.HIGH
    assert (job.record.retry, job.repeat) == (retry, repeat)
    due = datetime.fromtimestamp(clock.now_ms() / 1000, UTC) + timedelta(minutes=5)
    assert job.due_at == due
    assert (job.resource, job.tenant) == ("cat", "acme")


def test_draft_is_not_changed_by_what_is_made_of_it(queue: Queue) -> None:
    draft = queue.new_job("work", 1)
    later = draft.priority(10).data(2)
    assert (draft.save().data, draft.save().priority) == (1, 0)
    assert (later.save().data, later.save().priority) == (2, 10)
    assert len(queue.jobs()) == 4


def test_input_is_given_to_a_draft(queue: Queue, work: Work) -> None:
    job = queue.new_job("work").body(b"photo", filename="cat.jpg").save()
    assert job.filename == "cat.jpg"
    work.off()
    assert job.refresh().state is State.COMPLETED


def test_later_option_takes_the_place_of_an_earlier_one(queue: Queue, clock: FakeClock) -> None:
    moment = datetime.fromtimestamp(clock.now_ms() / 1000, UTC) + timedelta(hours=1)
    draft = queue.new_job("work").delay(timedelta(minutes=5)).after(moment)
    assert draft.save().due_at == moment
    first = queue.submit("work")
    assert draft.depends(first).depends().save().depends == ()
    assert draft.depends(first).depends(first.id).save().depends == (first.id,)


def test_key_of_a_draft_makes_one_job(queue: Queue) -> None:
    draft = queue.new_job("work").idempotency_key("k")
    assert draft.save().id == draft.save().id


def test_nothing_is_made_before_it_is_saved_and_refusals_come_then(queue: Queue) -> None:
    draft = queue.new_job("wrok")
    assert queue.jobs() == []
    with pytest.raises(UnknownTask, match="wrok"):
        draft.save()
    with pytest.raises(InvalidData, match="repeats for ever"):
        queue.new_job("work").repeat(Repeat(times=1)).save(cancel_repeats=True)
    assert queue.jobs() == []


def test_a_draft_depends_on_jobs_in_lists_at_any_depth(queue: Queue) -> None:
    a, b, c = (queue.submit("work") for _ in range(3))
    ids = (a.id, b.id, c.id)
    draft = queue.new_job("work")
    for given in ([[a, b, c]], [a, [b.id, (c,)]], list(ids), [(one for one in ids)]):
        assert draft.depends(*given).save().depends == ids
    assert draft.depends(a).depends([b, c]).save().depends == ids
    # a text is one id, not its letters
    assert draft.depends(a.id).save().depends == (a.id,)


@pytest.mark.parametrize("nothing", [(), ([],), ((), [[]])])
def test_a_draft_that_depends_on_nothing_runs_after_none(
    nothing: tuple[list[str], ...], queue: Queue
) -> None:
    draft = queue.new_job("work").depends(queue.submit("work"))
    assert draft.depends(*nothing).save().depends == ()


def _endless() -> list[Any]:
    made: list[Any] = []
    made.append(made)
    return made


@pytest.mark.parametrize("wrong", [42, None, b"bytes", {"a": 1}, "no id", [42], _endless()])
def test_what_is_no_job_is_refused_of_a_draft(wrong: Any, queue: Queue) -> None:
    with pytest.raises(InvalidData, match="depends"):
        queue.new_job("work").depends(wrong).save()
