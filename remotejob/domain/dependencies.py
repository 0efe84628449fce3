"""Dependencies: edges between jobs, stored as items next to the job that others wait for.

In the time lines, D depends on A; C carries out the consequences of A's end, S is the scheduler, M
a manager; time runs to the right.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from remotejob.domain.changes import EXISTS, NOT_LATER, Change, Condition
from remotejob.domain.command_changes import cancelled
from remotejob.domain.conditions import (
    Absent,
    All,
    AtMost,
    Contains,
    Either,
    Expression,
    Is,
    Item,
    Value,
    state_is,
)
from remotejob.domain.history import Action, appended, entered
from remotejob.domain.marks import Attention, mark
from remotejob.domain.record import Failure, JobRecord, errors_to_json
from remotejob.domain.states import TERMINAL, Command, State, sources_of
from remotejob.domain.transactions import SAME_TOKEN, Check, Key, Put, record_key, text
from remotejob.names import Field

EDGES: Final = "edge#"

DEPENDENCY_FAILED: Final = "DependencyFailed"
"""Kind of the failure that explains why a dependent was cancelled."""

ANTECEDENTS_AT_MOST: Final = 1_000
"""Their ids take 55 KB of the dependent's record, and every write pays for the whole record."""

EDGES_WITH_RECORD: Final = 45
"""Edges stored in the transaction of the dependent. Each takes two steps of at most a hundred."""

EDGES_AT_A_TIME: Final = 49
"""Edges of a dependent with more, in each of the transactions that follow."""


LINES_OF_EDGES: Final = 10
"""How many of the jobs that a job waits for get a line in its log. Their releases do not read its
record, so that only this limits how much they write into it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Edge:
    """One job that waits for another."""

    antecedent: str
    dependent: str
    token: str
    """New each time the dependent is submitted or restarted."""
    spent: bool = False
    """Whether the antecedent's end was carried out for this edge."""
    quiet: bool = False
    """Whether its release is no line in the dependent's log."""
    stored: bool = True
    """False if its antecedent may have ended before it was stored."""

    @property
    def key(self) -> Key:
        return Key(self.antecedent, f"{EDGES}{self.dependent}")

    @classmethod
    def of(cls, antecedent: str, item: Item) -> Edge:
        return cls(
            antecedent=antecedent,
            dependent=text(item[Field.JOB]),
            token=text(item[Field.TOKEN]),
            spent=Field.SPENT in item,
            quiet=Field.QUIET in item,
        )


NOT_ENDED: Final = Condition(
    name="not_ended",
    # An edge put on a job that ends at this moment would never be found:
    #     C       A completes ── looks for edges
    #     M                     edge ✗ (A has ended) ── reads A again, and leaves it out
    expression=All(EXISTS, state_is(*(frozenset(State) - TERMINAL))),
)


LINKING: Final = Condition(
    name="linking",
    # The edges of many antecedents take several transactions, after that of the dependent:
    #     M  puts D, blocked by all ── edges 1 ── (stalls) ─────────────────── edges 2 ✗
    #     S                                          edges 1 ── edges 2 ── done
    # Whoever stores them uses the token in the record, so both store the same edges. Once D has
    # ended, or was restarted with edges of another token, none are wanted.
    expression=All(EXISTS, Is(Field.LINKING, "token"), state_is(*(frozenset(State) - TERMINAL))),
)

SPENDABLE: Final = Condition(
    name="spendable",
    # An antecedent that ended before its edge was stored is followed without one. An edge of a
    # later submit or restart has another token.
    expression=Either(Absent(Field.PK), Is(Field.TOKEN, "token")),
)


def _released(name: str, *guards: Expression) -> Condition:
    # Two release the same edge, or one repeats a release that was cut off:
    #     C  takes A out of D's set ✓ ── (dies)
    #     S                                     takes A out ✗ (not in the set) ── sends for D
    return Condition(
        name=name, expression=All(EXISTS, Contains(Field.BLOCKED, "antecedent"), *guards)
    )


RELEASE_WAITING: Final = _released("release_waiting", state_is(*sources_of(Command.UNBLOCK)))
RELEASE_LATER: Final = _released(
    "release_later", state_is(*sources_of(Command.UNBLOCK)), AtMost(Field.DUE, "due")
)
RELEASE_PAUSED: Final = _released(
    "release_paused", state_is(State.PAUSED), AtMost(Field.DUE, "due")
)
RELEASE: Final = _released("release_edge")


def edges_to_put(
    dependent: str, antecedents: Iterable[str], *, token: str, told: int = LINES_OF_EDGES
) -> list[Put | Change]:
    """The steps that go with storing or restarting the dependent.

    The releases of the first `told` are lines in its log.
    """
    steps: list[Put | Change] = []
    for number, antecedent in enumerate(antecedents):
        edge = Edge(antecedent=antecedent, dependent=dependent, token=token)
        content: dict[str, Value] = {Field.JOB: dependent, Field.TOKEN: token}
        if number >= told:
            content[Field.QUIET] = 1
        steps.append(Put(key=edge.key, content=content))
        steps.append(
            Change(
                job_id=antecedent,
                condition=NOT_ENDED,
                values={},
                set={Field.DEPENDENTS: 1},
            )
        )
    return steps


def check_linking(dependent: str, *, token: str) -> Check:
    """Checks that edges with this token are still to be stored."""
    return Check(key=record_key(dependent), condition=LINKING, values={"token": token})


def linked(dependent: str, *, token: str) -> Change:
    """Note that all edges are stored."""
    return Change(
        job_id=dependent, condition=LINKING, values={"token": token}, remove=(Field.LINKING,)
    )


def releases(edge: Edge, *, now_ms: int, due_ms: int, actor: str = "") -> list[Change]:
    """The changes that unblock a dependent; try them in order until one is not refused.

    The dependent becomes due no earlier than `due_ms`, and no earlier than before. One that is not
    waiting (paused, or ended) loses the edge too. Its log says that `actor` did it.
    """
    values: dict[str, Value] = {"antecedent": edge.antecedent}
    # the caller holds no message of it: with a mark, the scheduler finds a crash before the send
    marked: dict[str, Value] = mark(Attention.WAITING, edge.dependent, now_ms)
    later: dict[str, Value] = {Field.DUE: due_ms}
    tries: list[tuple[Condition, dict[str, Value]]] = [
        (RELEASE_LATER, {**marked, **later}),
        (RELEASE_WAITING, marked),
        (RELEASE_PAUSED, later),
        (RELEASE, {}),
    ]
    changes = [
        Change(
            job_id=edge.dependent,
            condition=condition,
            values={**values, "due": due_ms} if Field.DUE in to_set else values,
            set=to_set,
            discard={Field.BLOCKED: frozenset({edge.antecedent})},
        )
        for condition, to_set in tries
    ]
    if edge.quiet:
        return changes
    detail = edge.antecedent
    return [
        appended(change, Action.RESOLVED, at_ms=now_ms, actor=actor, detail=detail)
        for change in changes
    ]


def cascade(
    edge: Edge,
    record: JobRecord,
    *,
    why: str,
    now_ms: int,
    marked_ms: int | None = None,
    actor: str = "",
) -> Change:
    """Cancel a dependent whose antecedent failed or was cancelled.

    `why` goes into its errors, and into its log as done by `actor`.

    `marked_ms` is the time of its mark, from which the scheduler counts its grace: by default now.

    C  A failed ── cancels D ✓ (the edge is spent)
    M                           restarts A, restarts D (a new edge token)
    S  A failed ── (stalls) ───────────────────────────── cancels D ✗ (another token)
    """
    at_ms = max(now_ms, record.updated_ms)
    change = cancelled(record, at_ms=at_ms)
    change = entered(change, record, Action.CANCELLED, actor=actor, detail=why)
    failure = Failure(
        run_id="",
        attempt=record.attempt,
        at_ms=at_ms,
        kind=DEPENDENCY_FAILED,
        message=why,
    )
    return replace(
        change,
        condition=CASCADE,
        values={**change.values, "antecedent": edge.antecedent},
        set={
            **change.set,
            Field.ERRORS: errors_to_json((*record.errors, failure)),
            **({} if marked_ms is None else {Field.ATTENTION_AT: marked_ms}),
        },
    )


def cancelled_with(record: JobRecord, antecedent: str) -> bool:
    """Whether a job that waits for `antecedent` was cancelled because that cannot complete.

    An older failure does not count: the job was restarted since, then cancelled by hand.
    """
    if record.state is not State.CANCELLED or antecedent not in (record.blocked or ()):
        return False
    last = record.errors[-1] if record.errors else None
    return last is not None and last.kind == DEPENDENCY_FAILED and last.at_ms == record.finished_ms


CASCADE: Final = Condition(
    name="cascade",
    expression=All(
        EXISTS,
        state_is(*sources_of(Command.CANCEL)),
        NOT_LATER,
        Contains(Field.BLOCKED, "antecedent"),
    ),
)


IN_VAIN: Final = Condition(
    name="in_vain",
    # Carrying out an end late may find dependents that joined after a restart:
    #     C  A failed ── (stalls) ───────────────────────────── cancels E ✗ (A will run again)
    #     M                       restarts A ── submits E ✓
    expression=All(state_is(State.FAILED, State.CANCELLED), Is(Field.FINISHED, "finished")),
)


def check_in_vain(antecedent: JobRecord) -> Check:
    """Checks that the antecedent's end is still the one that was read."""
    return Check(
        key=record_key(antecedent.id),
        condition=IN_VAIN,
        values={"finished": antecedent.finished_ms or 0},
    )


def spend(edge: Edge, *, expires_s: int) -> Put:
    """Note that an edge was carried out; it stays for a while, to show what depended on what."""
    return Put(
        key=edge.key,
        content={
            Field.JOB: edge.dependent,
            Field.TOKEN: edge.token,
            Field.SPENT: 1,
            Field.EXPIRES: expires_s,
        },
        condition=SAME_TOKEN if edge.stored else SPENDABLE,
        values={"token": edge.token},
    )
