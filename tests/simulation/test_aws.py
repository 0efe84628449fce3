"""The main scenarios on the AWS backend, with a fault at each single HTTP attempt."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, partial

import pytest

from remotejob.domain.states import State
from remotejob.ports import Address, Channel
from remotejob.testing.crashes import HttpFault, HttpFaults
from tests.sampling import EVERY_REQUEST, Sample, each_request, on_its_own, sampled
from tests.simulation.embedded import EmbeddedAws, embedded_aws
from tests.simulation.playing import play
from tests.simulation.scenarios import SCENARIOS
from tests.simulation.world import QUEUE, World

COMPLETED = Address(QUEUE, Channel.COMPLETED)
FAILED = Address(QUEUE, Channel.FAILED)

EXHAUSTIVE = (
    "plain",
    "body_and_outputs",
    "fails_for_good",
    "fails_once_then_completes",
    "resumed_after_it_failed",
)

EXACT = {
    "plain": State.COMPLETED,
    "body_and_outputs": State.COMPLETED,
    "fails_once_then_completes": State.COMPLETED,
    "fails_for_good": State.FAILED,
    "poison": State.FAILED,
    "due_soon": State.COMPLETED,
    "given_back_by_a_stopping_worker": State.COMPLETED,
    "long_run_under_heartbeats": State.COMPLETED,
    "lease_lost_to_another_worker": State.COMPLETED,
    "upload_events_repeated_and_out_of_order": State.COMPLETED,
    "cancelled_while_it_runs": State.CANCELLED,
    "resumed_after_its_worker_died": State.COMPLETED,
    "resumed_after_it_failed": State.COMPLETED,
    "resumed_by_a_restart": State.COMPLETED,
}
"""Scenarios, and how they end when nothing goes wrong."""

TOGETHER = (
    "antecedent_fails_for_good",
    "chain_restarted_by_way_of_its_beginning",
    "dependents_delayed_by_the_antecedent",
    "dependents_paused_while_they_wait",
    "diamond",
    "holder_cancelled_while_it_runs",
    "holder_dies",
    "lock_taken_over_from_a_stalled_run",
    "removed_after_it_failed_with_its_key",
    "repeat_with_a_resource_and_a_dependent",
    "resource_and_antecedent",
    "resource_and_tenant",
    "upload_whose_job_was_removed",
)
"""Scenarios of several jobs; each says itself how they end."""

SAMPLED = {
    "diamond_with_one_side_broken": 1,
    "cancelled_while_parked": 2,
    "repeated_twice": 3,
    "submitted_twice_under_one_key": 4,
}
"""Those with a fault at every thirteenth HTTP attempt, and the first of these."""

_STRIDE = 13


@pytest.fixture(scope="module")
def aws(request: pytest.FixtureRequest) -> Iterator[EmbeddedAws]:
    # one at a time: they share moto's memory and its time
    with embedded_aws(getattr(request, "param", "direct")) as aws:
        yield aws


RETRIED = (HttpFault.REFUSE, HttpFault.DROP, HttpFault.HOLD_UP)

DELAYS = (0, 3, 12, None)
"""How many attempts later a request arrives that was held up; None is after the end."""


def _check_nothing_was_lost(world: World) -> None:
    """What botocore tries again costs neither time nor a run."""
    struck = world.faults.struck
    if struck is not None and struck.name.endswith("ReceiveMessage"):
        # the messages of an answer that was dropped are hidden for a while
        return
    for record in world.trace.records.values():
        assert record.terminal, record
        assert record.owed is None, record
        assert record.crashes == 0, record
        told = [*world.bodies(COMPLETED), *world.bodies(FAILED)]
        assert any(record.id in body for body in told), "its end was not announced"


def _after_the_script(name: str, world: World) -> None:
    assert isinstance(world.faults, HttpFaults)
    if world.faults.fault is HttpFault.HOLD_UP:
        world.run_to_quiet()
        world.faults.arrive()
    if world.faults.fault in RETRIED and name in EXHAUSTIVE:
        _check_nothing_was_lost(world)


def _play(aws: EmbeddedAws, name: str, fault: HttpFault, at: int) -> HttpFaults:
    world = aws.world(fault, at=at, delay=DELAYS[at % len(DELAYS)])
    scenario, ends = SCENARIOS[name], SCENARIOS[name].ends_after_a_crash
    try:
        play(scenario, world, ends=ends, after_script=partial(_after_the_script, name))
    finally:
        aws.close(world)
    assert isinstance(world.faults, HttpFaults)
    return world.faults


@cache
def _requests_of(aws: EmbeddedAws, name: str) -> int:
    """How many HTTP attempts a scenario makes while nothing goes wrong."""
    return _play(aws, name, HttpFault.REFUSE, 0).exposed


@pytest.mark.parametrize("name", EXACT)
def test_scenario_ends_on_aws_as_it_does_in_memory(aws: EmbeddedAws, name: str) -> None:
    assert SCENARIOS[name].ends == (EXACT[name],)
    _play(aws, name, HttpFault.REFUSE, 0)


@pytest.mark.parametrize("name", [*TOGETHER, *SAMPLED])
def test_jobs_together_end_on_aws_as_they_do_in_memory(aws: EmbeddedAws, name: str) -> None:
    _play(aws, name, HttpFault.REFUSE, 0)


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", [on_its_own(name, "aws") for name in SAMPLED])
@pytest.mark.parametrize("fault", HttpFault)
@pytest.mark.parametrize("sample", sampled(8))
def test_fault_at_an_http_attempt_parts_no_jobs_that_belong_together(
    aws: EmbeddedAws, name: str, fault: HttpFault, sample: Sample
) -> None:
    exposed, first = _requests_of(aws, name), SAMPLED[name]
    run = partial(_play, aws, name, fault)
    assert each_request(run, fault, sample, exposed=exposed, first=first, stride=_STRIDE) >= 2


@pytest.mark.parametrize("fault", HttpFault)
def test_fault_at_any_http_attempt_loses_no_plain_job(aws: EmbeddedAws, fault: HttpFault) -> None:
    # the path that all jobs take is never sampled
    assert each_request(partial(_play, aws, "plain", fault), fault, EVERY_REQUEST) >= 9


@pytest.mark.parametrize("name", [on_its_own(name, "aws") for name in EXHAUSTIVE])
@pytest.mark.parametrize("fault", HttpFault)
@pytest.mark.parametrize(
    ("aws", "sample"),
    [
        *sampled(13, "direct"),
        # the same requests through the other client
        pytest.param("boto3", EVERY_REQUEST, marks=pytest.mark.exhaustive),
    ],
    indirect=["aws"],
)
def test_fault_at_any_http_attempt_loses_nothing(
    aws: EmbeddedAws, name: str, fault: HttpFault, sample: Sample
) -> None:
    exposed = _requests_of(aws, name)
    run = partial(_play, aws, name, fault)
    assert each_request(run, fault, sample, exposed=exposed) >= 9
