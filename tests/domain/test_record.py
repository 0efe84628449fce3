"""The record, and what it keeps of inputs, outputs, failures and logs."""

from __future__ import annotations

from dataclasses import fields, replace

from hypothesis import given
from hypothesis import strategies as st

from remotejob.domain.conditions import Value
from remotejob.domain.job_log import (
    LOG_TAIL_BYTES,
    LOG_TAIL_LINES,
    LogLine,
    log_lines,
    log_tail,
    log_to_json,
)
from remotejob.domain.record import (
    ERRORS_KEPT,
    InputFile,
    JobRecord,
    OutputFile,
    errors_to_json,
    outputs_from_json,
    outputs_to_json,
)
from remotejob.domain.states import State
from remotejob.names import Field
from remotejob.testing.conformance import samples
from remotejob.testing.conformance.samples import NOW
from remotejob.testing.conformance.store_records import FULL
from tests.domain.strategies import TEXT, records

OPTIONAL = st.none() | TEXT
LINES = st.lists(
    st.builds(
        LogLine,
        number=st.integers(0, 10**9),
        at_ms=st.integers(0, 2**45),
        level=st.sampled_from(["info", "success", "warning", "danger"]),
        message=st.text(max_size=300),
        data=st.none() | st.booleans() | st.integers() | st.lists(TEXT, max_size=3),
    ),
    max_size=20,
).map(tuple)


@given(records())
def test_a_record_comes_back_from_its_item(record: JobRecord) -> None:
    assert JobRecord.from_item(record.to_item()) == record


@given(records())
def test_an_item_holds_its_keys_and_nothing_that_is_none(record: JobRecord) -> None:
    item = record.to_item()
    assert item[Field.SK] == record.id
    assert item[Field.PK] == "20260115#0"
    assert None not in item.values()
    assert set(item) <= set(Field)


def test_every_attribute_of_a_record_has_one_field_of_its_own() -> None:
    filled = {
        field.name: State.WAITING if field.name == "state" else 7
        for field in fields(JobRecord)
        if field.name != "id"
    }
    item = JobRecord(id=samples.job_id(), **filled).to_item()  # type: ignore[arg-type]
    assert len(item) == len(filled) + 2


def test_the_record_the_suites_store_has_every_attribute() -> None:
    assert [field.name for field in fields(JobRecord) if not getattr(FULL, field.name)] == []


def test_a_counter_at_nothing_is_absent_and_comes_back_as_nothing() -> None:
    item = samples.ready().to_item()
    assert Field.ATTEMPT not in item
    assert JobRecord.from_item(item).attempt == 0


def test_an_attribute_of_a_later_version_is_passed_over() -> None:
    record = samples.ready()
    item: dict[str, Value] = {**record.to_item(), "j_later": "x"}
    assert JobRecord.from_item(item) == record


@given(
    st.builds(
        InputFile,
        bucket=TEXT,
        key=TEXT,
        size=st.integers(0, 2**60),
        name=TEXT,
        version=OPTIONAL,
        etag=OPTIONAL,
        content_type=OPTIONAL,
    )
)
def test_an_input_comes_back_from_json(file: InputFile) -> None:
    assert InputFile.from_json(file.to_json()) == file


@given(
    st.lists(st.tuples(TEXT, st.integers(0, 2**60), TEXT, st.none() | st.text("ab/", min_size=1)))
)
def test_a_manifest_comes_back_from_json(
    listed: list[tuple[str, int, str, str | None]],
) -> None:
    outputs = tuple(
        OutputFile(name=name, key=f"q/j/r/{name}", size=size, etag=etag, content_type=kind)
        for name, size, etag, kind in listed
    )
    text = outputs_to_json(outputs)
    assert outputs_from_json(text, prefix="q/j/r/") == outputs
    assert "q/j/r/" not in text


@given(LINES)
def test_a_log_comes_back_from_json(lines: tuple[LogLine, ...]) -> None:
    assert log_lines(log_to_json(lines)) == lines


@given(LINES)
def test_the_tail_of_a_log_is_its_end_and_is_bounded(lines: tuple[LogLine, ...]) -> None:
    tail = log_tail(lines)
    assert tail == (lines[-len(tail) :] if tail else ())
    assert len(tail) <= LOG_TAIL_LINES
    assert len(log_to_json(tail).encode()) <= LOG_TAIL_BYTES


def test_short_lines_stay_in_the_record() -> None:
    lines = tuple(LogLine(number=n, at_ms=NOW, level="info", message="short") for n in range(9))
    assert log_tail(lines) == lines[-LOG_TAIL_LINES:]


def test_the_last_failures_are_kept_and_their_messages_cut() -> None:
    failures = tuple(samples.failure("x" * 1000 + str(number)) for number in range(5))
    record = samples.ready(errors_json=errors_to_json(failures))

    assert len(record.errors) == ERRORS_KEPT
    assert {len(error.message) for error in record.errors} == {300}
    assert record.errors[0].message.endswith("…")


def test_a_failure_comes_back_as_it_was() -> None:
    record = samples.ready(errors_json=errors_to_json((samples.failure("ü"),)))
    assert record.errors == (samples.failure("ü"),)


def test_a_record_is_runnable_when_a_claim_would_find_nothing_in_its_way() -> None:
    assert samples.ready().runnable(NOW)
    assert samples.waiting(due_ms=NOW).runnable(NOW)
    assert not samples.waiting(due_ms=NOW + 1).runnable(NOW)
    assert not samples.waiting(due_ms=None).runnable(NOW)
    assert not samples.waiting(blocked=frozenset({"x"})).runnable(NOW)
    assert not samples.waiting(parked="resource#scanner").runnable(NOW)
    for state in set(State) - {State.READY, State.WAITING}:
        assert not replace(samples.ready(), state=state, due_ms=NOW).runnable(NOW)


def test_a_record_names_the_jobs_it_was_to_run_after() -> None:
    assert samples.ready().depends == ()
    assert samples.ready(depends_json='["b","a"]').depends == ("b", "a")
