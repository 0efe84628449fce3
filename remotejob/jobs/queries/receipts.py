"""Receipts: the calls, the seconds and approximately the dollars that a job took.

A receipt needs only the record. The calls that every job makes follow from its kind; the runs
counted all others in the record (see `domain.usage`). docs/receipts.md says what is estimated.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from remotejob.domain.lapses import LEASE_LOST, WORKER_DIED
from remotejob.domain.locks import limits_of
from remotejob.domain.record import JobRecord
from remotejob.domain.states import State
from remotejob.domain.text import counted
from remotejob.domain.usage import READ_UNIT_BYTES, Call, Usage, item_bytes, put_calls, units
from remotejob.jobs.content.input_files import input_prefixes
from remotejob.jobs.queries.prices import Prices, worker_hour
from remotejob.names import INPUT_PREFIX_SUBMITTED
from remotejob.ports import WorkerSize

_MILLION: Final = 1_000_000
_THOUSAND: Final = 1_000
_HOUR_S: Final = 3600
_PUTS: Final = frozenset(
    {Call.PUT_OBJECT, Call.CREATE_UPLOAD, Call.UPLOAD_PART, Call.COMPLETE_UPLOAD}
)
_IN_TRANSACTION: Final = 2
"""A transaction doubles the write units. Source: as `domain.usage.WRITE_UNIT_BYTES`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """The calls of one operation."""

    service: str
    operation: str
    """Its AWS name. A single message and a batch count as one operation."""
    calls: float
    """For a call shared with other jobs, this job's share."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Compute:
    """A job's share of its workers, assuming they run as many jobs as they can take."""

    vcpu_seconds: float
    gb_seconds: float
    dollars: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Receipt:
    """An estimate of what a job took so far: `str(receipt)` for people, `as_dict` for programs."""

    job_id: str
    state: State
    runs: int
    lines: tuple[Line, ...]
    write_units: int
    """DynamoDB write units."""
    read_units: float
    waited: timedelta
    """From submit until now or its end, except running time; includes delays and retry waits."""
    running: timedelta
    """Total of all runs; unknown for a run whose worker died."""
    dollars_by_service: Mapping[str, float]
    """Requests only."""
    compute: Compute | None
    """None if the size of the workers is unknown."""
    prices: Prices

    @property
    def dollars(self) -> float:
        """The total; without compute if that is unknown."""
        requests = sum(self.dollars_by_service.values())
        return requests + (self.compute.dollars if self.compute is not None else 0)

    def calls(self, operation: str) -> float:
        """How often an operation was called, by its AWS name."""
        return sum(line.calls for line in self.lines if line.operation == operation)

    def as_dict(self) -> dict[str, Any]:
        """For JSON; times are in seconds."""
        compute = self.compute
        return {
            "job": self.job_id,
            "state": self.state,
            "runs": self.runs,
            "calls": [
                {"service": line.service, "operation": line.operation, "calls": line.calls}
                for line in self.lines
            ],
            "dynamodb": {"write_units": self.write_units, "read_units": self.read_units},
            "seconds": {
                "waited": self.waited.total_seconds(),
                "running": self.running.total_seconds(),
                "vcpu": None if compute is None else compute.vcpu_seconds,
                "gb": None if compute is None else compute.gb_seconds,
            },
            "dollars": {
                **self.dollars_by_service,
                "Fargate": None if compute is None else compute.dollars,
                "total": self.dollars,
            },
            "prices": {"region": self.prices.region, "as_of": self.prices.as_of.isoformat()},
        }

    def __str__(self) -> str:
        rows = [(f"{line.service} {line.operation}", f"{line.calls:,.6g}") for line in self.lines]
        rows += [
            ("DynamoDB write units", f"{self.write_units:,}"),
            ("DynamoDB read units", f"{self.read_units:,.6g}"),
            ("seconds waited", f"{self.waited.total_seconds():,.3f}"),
            ("seconds running", f"{self.running.total_seconds():,.3f}"),
        ]
        if self.compute is not None:
            rows += [
                ("vCPU seconds", f"{self.compute.vcpu_seconds:,.3f}"),
                ("GB seconds", f"{self.compute.gb_seconds:,.3f}"),
            ]
        rows += [(f"$ {name}", _dollars(cost)) for name, cost in self.dollars_by_service.items()]
        known = "not known here" if self.compute is None else _dollars(self.compute.dollars)
        rows += [("$ Fargate", known), ("$ in all, about", _dollars(self.dollars))]
        wide, deep = (max(len(row[part]) for row in rows) for part in (0, 1))
        return "\n".join(
            [
                f"job {self.job_id}, {self.state}, {counted(self.runs, 'run')}",
                *(f"  {name:<{wide}}  {value:>{deep}}" for name, value in rows),
                f"list prices of {self.prices.as_of}, {self.prices.region}, on demand",
            ]
        )


def receipt(record: JobRecord, *, now_ms: int, size: WorkerSize | None, prices: Prices) -> Receipt:
    """What a job took so far, from its record."""
    usage = Usage.from_json(record.calls_json)
    tally = _Tally(record)
    tally.submitted()
    tally.run(usage)
    if record.terminal:
        tally.ended(usage)
    running_ms = _running_ms(record, usage, now_ms)
    until = record.finished_ms if record.finished_ms is not None else now_ms
    return Receipt(
        job_id=record.id,
        state=record.state,
        runs=_claims(record, usage),
        lines=tally.lines(),
        write_units=tally.write_units,
        read_units=tally.read_units,
        waited=timedelta(milliseconds=max(0, until - record.created_ms - running_ms)),
        running=timedelta(milliseconds=running_ms),
        dollars_by_service=tally.dollars(prices),
        compute=None if size is None else _compute(running_ms / 1000, size, prices),
        prices=prices,
    )


class _Tally:
    """Adds up calls and units."""

    def __init__(self, record: JobRecord) -> None:
        self._record: Final = record
        self._calls: dict[Call, float] = {}
        # the current size; the new record was smaller
        size = item_bytes(record.to_item())
        self._size: Final = units(size)
        self._read: Final = units(size, of=READ_UNIT_BYTES)
        self.write_units = 0
        self.read_units = 0.0

    def submitted(self) -> None:
        record = self._record
        own = input_prefixes(record.queue, record.id)
        file = record.input
        if file is not None and file.key.startswith(own):
            self._add(put_calls(file.size, size_known=True))
        if record.data_ref is not None and record.data_ref.startswith(own):
            self._add({Call.PUT_OBJECT: 1})
        if file is not None and not file.key.startswith(INPUT_PREFIX_SUBMITTED):
            # an upload: a function receives its event from a queue and makes the job
            self._add({Call.RECEIVE: 1, Call.DELETE: 1, Call.INVOKE: 1})
        antecedents = len(record.depends)
        if antecedents:
            # stored with an edge and a flag for each antecedent, whose end then releases the edge
            self._add({Call.BATCH_GET: 1, Call.TRANSACT: 1, Call.PUT_ITEM: antecedents})
            self.read_units += antecedents
            self.write_units += _IN_TRANSACTION * (self._size + 2 * antecedents) + antecedents
            self._update(antecedents + 1)
        else:
            self._add({Call.PUT_ITEM: 1})
            self.write_units += self._size
        self._add({Call.SEND: 1})
        if record.due_ms is not None and not record.failures:
            # written into the index, and removed from it by the claim
            self.write_units += 2

    def run(self, usage: Usage) -> None:
        """The runs: the calls that each makes, and the others they counted."""
        record = self._record
        claims = _claims(record, usage)
        uncounted = claims - usage.runs
        self._add(usage.calls)
        self.write_units += usage.note_units + usage.index_units
        self.write_units += self._size * int(usage.calls.get(Call.UPDATE_ITEM, 0))
        self._update(claims)
        self._add({Call.RECEIVE: uncounted})
        commits = usage.runs
        if uncounted and record.state is State.COMPLETED:
            commits += 1
        if record.next_id is not None:
            # one transaction stores the end and the job that repeats it; then both are read
            commits -= 1
            self._add({Call.TRANSACT: 1, Call.GET_ITEM: 2})
            self.write_units += _IN_TRANSACTION * self._size
            self.read_units += 2 * self._read
        self._update(commits)
        locks = len(limits_of(record))
        if locks and claims:
            # a claim is refused because locks are needed, repeated with them; later they are freed
            self._add({Call.QUERY: 4 * locks * claims, Call.TRANSACT: claims})
            self._add({Call.DELETE_ITEM: locks * claims})
            self.read_units += 4 * locks * claims
            self.write_units += (_IN_TRANSACTION * (self._size + locks) + locks) * claims

    def ended(self, usage: Usage) -> None:
        """The consequences of the end: the status message is sent, the job's own is deleted."""
        record = self._record
        share = usage.calls.get(Call.RECEIVE, 0) / usage.runs if usage.runs else 1
        self._add({Call.SEND: share, Call.DELETE: share})
        if record.dependents:
            self._add({Call.QUERY: 1})
            self.read_units += 1
        if record.state is State.FAILED and _died(record):
            self._update(1)
        if record.state is State.CANCELLED:
            # the command; and if a run was under way, its clearing of the lease
            self._update(1 + (_claims(record, usage) > usage.runs))
        if record.state is not State.COMPLETED or record.batch is not None:
            # the index lists it until it owes nothing more
            self._update(1)
            self.write_units += 3 if record.state is State.FAILED else 2

    def lines(self) -> tuple[Line, ...]:
        return tuple(
            Line(service=call.service, operation=call.operation, calls=round(count, 3))
            for call in Call
            if (count := self._calls.get(call, 0))
        )

    def dollars(self, prices: Prices) -> dict[str, float]:
        """What the requests cost, by service."""
        count = self._calls
        sqs = sum(count.get(call, 0) for call in Call if call.service == "SQS")
        fair = 0.0 if self._record.tenant is None else count.get(Call.SEND, 0)
        gets = sum(count.get(call, 0) for call in (Call.GET_OBJECT, Call.HEAD_OBJECT))
        return {
            "DynamoDB": self.write_units / _MILLION * prices.dynamodb_million_write_units
            + self.read_units / _MILLION * prices.dynamodb_million_read_units,
            "SQS": sqs / _MILLION * prices.sqs_million_requests
            + fair / _MILLION * prices.sqs_million_fair_requests,
            "S3": sum(count.get(call, 0) for call in _PUTS) / _THOUSAND * prices.s3_thousand_puts
            + gets / _THOUSAND * prices.s3_thousand_gets,
            "Lambda": count.get(Call.INVOKE, 0) / _MILLION * prices.lambda_million_requests,
        }

    def _update(self, times: int) -> None:
        self._add({Call.UPDATE_ITEM: times})
        self.write_units += times * self._size

    def _add(self, calls: Mapping[Call, float]) -> None:
        for call, count in calls.items():
            self._calls[call] = self._calls.get(call, 0) + count


def _claims(record: JobRecord, usage: Usage) -> int:
    # a release subtracts its attempt; a restart resets the releases
    return max(usage.runs, record.attempt + record.releases)


def _running_ms(record: JobRecord, usage: Usage, now_ms: int) -> int:
    """Time of all known runs: the counted ones and the last one."""
    counted = usage.running_ms or 0
    if record.started_ms is None:
        return counted
    if record.state is State.RUNNING:
        return counted + max(0, now_ms - record.started_ms)
    # a run that was put off or given back has counted its time, as has each that ended by itself
    # after it
    if not record.terminal or (usage.running_ms is not None and not _cut_off(record, usage)):
        return counted
    return counted + max(0, (record.finished_ms or now_ms) - record.started_ms)


def _cut_off(record: JobRecord, usage: Usage) -> bool:
    """Whether the last run was cut off, and so counted nothing."""
    if record.state is State.CANCELLED:
        return _claims(record, usage) > usage.runs
    return record.state is State.FAILED and _died(record)


def _died(record: JobRecord) -> bool:
    return bool(record.errors) and record.errors[-1].kind in (LEASE_LOST, WORKER_DIED)


def _compute(seconds: float, size: WorkerSize, prices: Prices) -> Compute:
    return Compute(
        vcpu_seconds=seconds * size.cpu / 1024 / size.jobs,
        gb_seconds=seconds * size.memory_mib / 1024 / size.jobs,
        dollars=seconds / _HOUR_S * worker_hour(size, prices) / size.jobs,
    )


def _dollars(amount: float) -> str:
    return f"{amount:.9f}"
