"""The table's figures: ratios, what was killed, and the bar."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import pytest

from benchmarks import bars
from benchmarks.measured import Figures, Result
from benchmarks.measuring import Busy, Idle, Killed, Plan, Side, best, compare
from benchmarks.report import console
from benchmarks.results import as_dict, ratio, show
from benchmarks.systems import OURS, SYSTEMS
from remotejob.jobs.queries.prices import list_prices


def side(cpu: float = 1.0, jobs: int = 100, **requests: int) -> Side:
    counted = Counter({("sqs", operation): count for operation, count in requests.items()})
    return Side(jobs=jobs, requests=counted, cpu_ms_a_job=cpu)


def busy(*, work: Side, submit: Side | None = None, peak_mib: float = 50) -> Busy:
    submit = submit or side(SendMessage=100)
    ways = {"one by one": submit, "in bulk": submit}
    return Busy(submit=ways, work=work, peak_mib=peak_mib, seconds=1)


def idle(**per_minute: int) -> Idle:
    return Idle(
        start_cpu_s=0.2,
        start_s=1,
        start_requests=Counter(),
        latencies_ms=[5.0, 7.0, 30.0],
        requests_per_minute=Counter({("sqs", name): n for name, n in per_minute.items()}),
    )


def verdicts(result: Result, plan: Plan) -> Mapping[str, str]:
    return {one.name: one.verdict for one in bars.check([result], plan, list_prices())}


@pytest.mark.parametrize(
    ("value", "base", "shown"),
    [
        (1.0, 2.0, "0.50x"),
        (2.0, 2.0, "1.00x"),
        (1012.0, 10.0, "101x"),
        (None, 2.0, "-"),
        (1.0, 0.0, "-"),
    ],
)
def test_ratio_says_how_many_times_ours(value: float | None, base: float, shown: str) -> None:
    assert ratio(value, base) == shown


def test_figures_are_per_job() -> None:
    result = Result(
        system=OURS,
        idle=idle(ReceiveMessage=9),
        busy=busy(work=side(2.5, ReceiveMessage=10, DeleteMessageBatch=10)),
    )

    figures = Figures.of(result, OURS.ways[0])

    assert figures.submit_requests == 1
    assert figures.work_requests == pytest.approx(0.2)
    assert figures.work_cpu == 2.5
    assert figures.idle_requests == 9
    assert figures.latency == 7.0


def test_best_is_the_repetition_with_the_least_cpu_and_the_most_memory_counts() -> None:
    disturbed = busy(work=side(4.0), submit=side(1.0), peak_mib=60)
    quiet = busy(work=side(2.0), submit=side(3.0), peak_mib=50)

    found = best([disturbed, quiet])

    assert found.work.cpu_ms_a_job == 2.0
    assert found.submit["in bulk"].cpu_ms_a_job == 1.0
    assert found.peak_mib == 60


def test_count_over_its_bar_fails_and_a_batch_not_full_does_not() -> None:
    def of(requests: int) -> str:
        # for a thousand jobs
        result = Result(system=OURS, busy=busy(work=side(jobs=1000, UpdateItem=requests)))
        return verdicts(result, Plan())["worker, requests"]

    assert of(2300) == "pass"
    assert of(2304) == "pass"
    assert of(2320) == "FAIL"


def test_cpu_over_its_bar_fails_as_an_indication() -> None:
    result = Result(system=OURS, busy=busy(work=side(1.5)))
    found = {one.name: one for one in bars.check([result], Plan(), list_prices())}

    assert found["worker, CPU s"].verdict == "pass"
    assert found["worker, CPU s, ahead of all"].verdict == "FAIL"
    assert found["worker, CPU s, ahead of all"].kind == bars.INDICATION


@pytest.mark.parametrize(
    ("seconds", "idle_polls", "verdict"),
    [
        # one long poll of each lane, and one of the lane that had the jobs
        (6, 4, "pass"),
        (6, 5, "FAIL"),
        (19, 5, "FAIL"),
        # and one more of each in twenty seconds more
        (20, 7, "pass"),
        (20, 8, "FAIL"),
        (65, 13, "pass"),
    ],
)
def test_idle_polls_have_a_bar_of_their_own_by_the_time_a_run_took(
    seconds: float, idle_polls: int, verdict: str
) -> None:
    work = replace(side(UpdateItem=200), idle_polls=idle_polls)
    result = Result(system=OURS, busy=replace(busy(work=work), seconds=seconds))

    assert verdicts(result, Plan())["worker, idle polls"] == verdict


@pytest.mark.parametrize(
    ("seconds", "signs", "verdict"),
    [(6, 1, "pass"), (59, 2, "FAIL"), (60, 2, "pass"), (60, 3, "FAIL")],
)
def test_signs_of_life_have_a_bar_of_their_own_by_the_time_a_run_took(
    seconds: float, signs: int, verdict: str
) -> None:
    work = replace(side(UpdateItem=200), signs_of_life=signs)
    result = Result(system=OURS, busy=replace(busy(work=work), seconds=seconds))

    assert verdicts(result, Plan())["worker, signs of life"] == verdict


def test_what_no_job_causes_is_in_no_figure_a_job() -> None:
    """The slower the machine, the more of it there is."""
    quick, slow = side(UpdateItem=200), replace(side(UpdateItem=200), idle_polls=90)

    found = [Result(system=OURS, busy=busy(work=work)) for work in (quick, slow)]

    assert Figures.of(found[0], OURS.ways[0]) == Figures.of(found[1], OURS.ways[0])
    assert found[0].cost(OURS.ways[0], list_prices()) == found[1].cost(OURS.ways[0], list_prices())


def test_report_and_json_have_a_row_for_what_no_job_causes() -> None:
    work = replace(side(UpdateItem=200), idle_polls=12_345, signs_of_life=67)
    result = Result(system=OURS, busy=busy(work=work), idle=idle(ReceiveMessage=9))
    result.repetitions = [busy(work=work)]

    with console.capture() as printed:
        show([result], Plan(), list_prices())

    (row,) = [line for line in printed.get().splitlines() if line.endswith("0.16")]
    # nine polls a minute are 388,800 a month, at 40 cents a million
    assert row.split() == ["remotejob", "12,345", "67", "1", "9.0", "0.16"]
    (system,) = as_dict([result], Plan(), list_prices())["systems"]
    assert system["repetitions"][0]["work"]["idle_polls"] == 12_345
    assert system["repetitions"][0]["work"]["signs_of_life"] == 67


@pytest.mark.parametrize(("requests", "verdict"), [(14, "pass"), (110, "pass"), (111, "FAIL")])
def test_bulk_submission_may_put_each_record_by_itself(requests: int, verdict: str) -> None:
    submit = side(PutItem=requests)
    result = Result(system=OURS, busy=busy(work=side(), submit=submit))

    (bar,) = (
        one
        for one in bars.check([result], Plan(), list_prices())
        if one.name == "submit in bulk, requests"
    )
    assert bar.verdict == verdict
    assert "conditional put" in bar.reason


def test_idle_requests_are_judged_over_a_whole_minute_alone() -> None:
    result = Result(system=OURS, idle=idle(ReceiveMessage=9))

    assert verdicts(result, Plan(idle_s=60))["idle, requests a minute a lane"] == "pass"
    assert "idle, requests a minute a lane" not in verdicts(result, Plan(idle_s=8))


def test_killed_jobs_are_distinguished_by_how_far_they_got() -> None:
    # 0 had ended, twice, and 1 once; 2 and 3 were in flight, 4 and 5 had not begun
    before = (Counter([0, 0, 1, 2, 3]), Counter([0, 0, 1]))
    # 1 runs again for nothing, 2 for a reason, 3 is lost
    after = (Counter([0, 0, 1, 1, 2, 2, 3, 4, 5]), Counter([0, 0, 1, 1, 2, 4, 5]))

    assert compare(before, after, 6) == Killed(
        in_flight=2, ended=2, lost=1, in_flight_again=1, ended_again=1
    )


def test_json_has_every_system_and_can_be_written() -> None:
    results = [Result(system=system, problem="not here") for system in SYSTEMS]
    results[0].busy = busy(work=side(UpdateItem=200))
    results[0].repetitions = [results[0].busy]
    results[0].idle = idle(ReceiveMessage=9)

    found = json.loads(json.dumps(as_dict(results, Plan(), list_prices())))

    assert [one["name"] for one in found["systems"]] == [system.name for system in SYSTEMS]
    assert found["systems"][0]["repetitions"][0]["work"]["requests"] == {"sqs:UpdateItem": 200}
    assert found["systems"][1]["problem"] == "not here"


def test_names_of_users_are_no_parts_of_one_another() -> None:
    """Requests are told apart by them."""
    users = [
        user
        for system in SYSTEMS
        if system.peer
        for user in (system.submitter_user, system.worker_user)
    ]

    assert not [(one, other) for one in users for other in users if one != other and one in other]
