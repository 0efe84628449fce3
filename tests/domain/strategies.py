"""Records of all kinds, for properties that hold of each."""

from __future__ import annotations

from hypothesis import strategies as st

from remotejob.domain.batches import COUNTED
from remotejob.domain.conditions import Value
from remotejob.domain.marks import Attention, attention_key
from remotejob.domain.record import JobRecord
from remotejob.domain.states import State
from remotejob.domain.transactions import Key
from remotejob.names import Field
from remotejob.testing.conformance import samples
from remotejob.testing.conformance.catalogue import ANTECEDENT, HELD, LIMIT
from remotejob.testing.conformance.samples import NOW, OTHER_RUN, OTHER_TOKEN, RUN, TOKEN

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
COUNTS = st.integers(0, 5)
NEAR = st.none() | st.sampled_from([NOW - 60_000, NOW - 2000, NOW - 1999, NOW - 1, NOW, NOW + 1])
"""Times on both sides of everything a condition compares with."""

_JSON = st.none() | TEXT
_BLOCKING = st.sampled_from([ANTECEDENT, ANTECEDENT[:-1], "another"])


@st.composite
def records(draw: st.DrawFn) -> JobRecord:
    """A record with any attributes, whether they go together or not."""
    kind = draw(st.none() | st.sampled_from(Attention.ACTED_ON))
    job_id = samples.job_id()
    return JobRecord(
        id=job_id,
        state=draw(st.sampled_from(State)),
        task=draw(st.text("abc", min_size=1)),
        queue="default",
        priority=draw(st.integers(-20, 20)),
        created_ms=NOW,
        updated_ms=draw(st.sampled_from([NOW - 1, NOW, NOW + 1])),
        due_ms=draw(NEAR),
        blocked=draw(st.none() | st.frozensets(_BLOCKING, min_size=1)),
        parked=draw(st.sampled_from([None, None, LIMIT.partition, "tenant#default#müller"])),
        resource=draw(st.none() | TEXT),
        tenant=draw(_JSON),
        tenant_limit=draw(st.none() | st.integers(1, 9)),
        depends_json=draw(_JSON),
        dependents=draw(st.integers(0, 1)),
        delay_dependents_ms=draw(NEAR),
        repeat_json=draw(_JSON),
        next_id=draw(_JSON),
        origin_id=draw(_JSON),
        batch=draw(_JSON),
        calls_json=draw(_JSON),
        run_id=draw(st.sampled_from([None, RUN, OTHER_RUN])),
        lease_ms=draw(NEAR),
        worker=draw(_JSON),
        started_ms=draw(NEAR),
        finished_ms=draw(NEAR),
        attempt=draw(COUNTS),
        failures=draw(COUNTS),
        crashes=draw(COUNTS),
        lost_leases=draw(COUNTS),
        lost_run=draw(st.sampled_from([None, RUN, OTHER_RUN])),
        releases=draw(COUNTS),
        given_up=draw(COUNTS),
        start_by_ms=draw(NEAR | st.just(0)),
        start_in_ms=draw(st.none() | st.just(60_000)),
        crash_limit=draw(st.none() | COUNTS),
        no_space=draw(COUNTS),
        retry_json=draw(_JSON),
        data_json=draw(_JSON),
        data_ref=draw(_JSON),
        input_json=draw(_JSON),
        progress_json=draw(_JSON),
        log_json=draw(_JSON),
        log_count=draw(COUNTS),
        history=draw(st.none() | st.frozensets(TEXT, min_size=1)),
        errors_json=draw(_JSON),
        result_json=draw(_JSON),
        result_ref=draw(_JSON),
        outputs_json=draw(_JSON),
        outputs_ref=draw(_JSON),
        checkpoint_json=draw(_JSON),
        checkpoint_ref=draw(_JSON),
        owed=draw(st.sampled_from([None, "status"])),
        swept_ms=draw(NEAR),
        expires_s=draw(NEAR),
        attention=None if kind is None else attention_key(kind, job_id),
        attention_ms=None if kind is None else draw(st.sampled_from([NOW, NOW + 1000])),
    )


@st.composite
def items(draw: st.DrawFn, key: Key) -> dict[str, Value] | None:
    """What a key may hold: nothing, a record, an item next to one, or a removed job's tombstone."""
    place: dict[str, Value] = {Field.PK: key.partition, Field.SK: key.name}
    background: dict[str, st.SearchStrategy[Value]] = {
        Field.EXPIRES: st.sampled_from([NOW // 1000 - 1, NOW // 1000, NOW // 1000 + 1]),
        Field.JOB: st.sampled_from([HELD.job_id, "another"]),
        Field.RUN: st.sampled_from([RUN, OTHER_RUN]),
        Field.TOKEN: st.sampled_from([TOKEN, OTHER_TOKEN]),
    }
    batch: dict[str, st.SearchStrategy[Value]] = {
        Field.SEALED: st.just(1),
        Field.STOPPED: st.just(1),
    }
    counts: dict[str, st.SearchStrategy[Value]] = {
        field: st.sampled_from([0, 1, 1, 1]) for field in COUNTED.values()
    }
    kinds = ["nothing", "record", "record", "record", "beside", "batch", "counter", "removed"]
    kind = draw(st.sampled_from(kinds))
    match kind:
        case "nothing":
            return None
        case "record":
            return {**draw(records()).to_item(), **place}
        case "beside":
            return {**place, **draw(st.fixed_dictionaries({}, optional=background))}
        case "batch":
            return {**place, **draw(st.fixed_dictionaries({}, optional=batch))}
        case "counter":
            return {**place, **draw(st.fixed_dictionaries(counts))}
        case _:
            return {**place, Field.REMOVED: NOW}
