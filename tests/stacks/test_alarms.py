"""The alarms: what each one reads, whom it tells, and what all of them cost."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from remotejob.cdk.alarms import MOST_METRICS, Chapter
from stacks.system import ROOT
from tests.stacks.conftest import Synthesize
from tests.stacks.templates import Resource, System, queue_named, texts

ALARM = "AWS::CloudWatch::Alarm"
VISIBLE = "ApproximateNumberOfMessagesVisible"
AGE = "ApproximateAgeOfOldestMessage"
CENTS = 10
"""A month of one metric of an alarm. Source: Amazon CloudWatch pricing, standard resolution."""


def metrics(alarm: Resource) -> list[dict[str, Any]]:
    """The metrics that an alarm reads, each of which costs."""
    if "MetricName" in alarm.properties:
        return [alarm.properties]
    return [
        one["MetricStat"]["Metric"] for one in alarm.properties["Metrics"] if "MetricStat" in one
    ]


def alarm(system: System, name: str) -> Resource:
    (found,) = (
        one
        for one in system.resources(ALARM)
        if re.fullmatch(rf"Alarms{name}[0-9A-F]{{8}}", one.id)
    )
    return found


def read(system: System, name: str) -> list[str]:
    return sorted(one["MetricName"] for one in metrics(alarm(system, name)))


def test_every_fault_has_its_alarm(system: System) -> None:
    assert read(system, "DeadLettersUploads") == [VISIBLE] * 2
    assert read(system, "SchedulerSilent") == ["Errors", "Invocations"]
    assert read(system, "FailedStarts") == ["FailedStarts"]
    assert read(system, "WorkerCrashes") == ["WorkerCrashes"]
    assert read(system, "Unreadable") == ["UnreadableItems"]
    for queue in ("Default", "Video"):
        assert read(system, f"DeadLettersQueue{queue}") == [VISIBLE] * 3
        assert read(system, f"Oldest{queue}") == [AGE] * 3
        assert read(system, f"Failures{queue}") == ["Completed", "Failed"]
    assert len(system.resources(ALARM)) == 5 + 2 * 3


def test_no_dead_letter_queue_is_without_an_alarm(system: System) -> None:
    watched = {
        queue_named(dimension["Value"], of=system)
        for one in system.resources(ALARM)
        for metric in metrics(one)
        if metric["MetricName"] == VISIBLE
        for dimension in metric["Dimensions"]
    }
    letters = [
        queue
        for queue in system.resources("AWS::SQS::Queue")
        if "DeadLetter" in queue.id or "Undelivered" in queue.id
    ]
    assert len(letters) == 2 * 3 + 2
    for queue in letters:
        assert queue.id in watched, queue.id


def test_an_alarm_names_its_system_and_its_chapter_of_the_runbook(system: System) -> None:
    page = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
    chapters = {
        re.sub(r"[^a-z-]", "", title.lower().replace(" ", "-"))
        for title in re.findall(r"^## (.*)$", page, re.MULTILINE)
    }
    assert set(Chapter) == chapters
    for one in system.resources(ALARM):
        said = "".join(texts(one.properties["AlarmDescription"]))
        found = re.fullmatch(r"remotejob test: .+\. docs/runbook\.md#([a-z-]+)", said)
        assert found is not None, said
        assert found[1] in chapters


def test_only_a_silent_scheduler_is_known_by_missing_data(system: System) -> None:
    missing = {one.id: one.properties["TreatMissingData"] for one in system.resources(ALARM)}
    silent = alarm(system, "SchedulerSilent").id
    assert missing.pop(silent) == "breaching"
    assert set(missing.values()) == {"notBreaching"}


def test_no_alarm_reads_more_than_cloudwatch_takes(system: System) -> None:
    assert max(len(metrics(one)) for one in system.resources(ALARM)) <= MOST_METRICS


@pytest.mark.parametrize("name", ["DeadLettersQueueDefault", "OldestDefault", "FailedStarts"])
def test_alarms_only_show_until_somebody_is_named(system: System, name: str) -> None:
    assert "AlarmActions" not in alarm(system, name).properties
    assert not system.resources("AWS::SNS::Topic")


def test_a_mail_tells_when_an_alarm_turns_on_and_off(synthesize: Synthesize) -> None:
    days = '30\nalarm_email = "ops@example.com"\nrunbook = "https://wiki.example.com/jobs"'
    system = synthesize(retention_days=days)
    (topic,) = system.resources("AWS::SNS::Topic")
    (mail,) = system.resources("AWS::SNS::Subscription")
    assert mail.properties["Protocol"] == "email"
    assert mail.properties["Endpoint"] == "ops@example.com"
    for one in system.resources(ALARM):
        assert one.properties["AlarmActions"] == [{"Ref": topic.id}]
        assert one.properties["OKActions"] == [{"Ref": topic.id}]
        assert "https://wiki.example.com/jobs#" in one.properties["AlarmDescription"]
    (policy,) = system.resources("AWS::SNS::TopicPolicy")
    allowed, refused = policy.properties["PolicyDocument"]["Statement"]
    if allowed["Effect"] == "Deny":
        allowed, refused = refused, allowed
    assert allowed["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert allowed["Condition"] == {
        "StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
    }
    assert refused["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


@pytest.mark.exhaustive
def test_a_queue_says_how_old_its_messages_may_become(synthesize: Synthesize) -> None:
    more = '[queues.slow]\ntasks = ["think"]\nalarm_age_minutes = 600\nmetrics = false\n'
    system = synthesize(more=more)
    assert alarm(system, "OldestSlow").properties["Threshold"] == 36_000
    assert alarm(system, "OldestDefault").properties["Threshold"] == 3_600
    # its workers write no metrics, of which a ratio could be made
    assert "AlarmsFailuresSlow" not in json.dumps(system.template("functions"))


@pytest.mark.exhaustive
def test_only_a_queue_with_a_budget_can_be_paused_by_it(
    system: System, synthesize: Synthesize
) -> None:
    more = '[queues.dear]\ntasks = ["render"]\ndaily_jobs = 1000\n'
    assert read(synthesize(more=more), "PausedDear") == ["Paused"]
    assert "Paused" not in json.dumps(system.template("functions"))


def test_the_page_about_costs_counts_the_alarms_as_they_are(synthesize: Synthesize) -> None:
    """One queue, as this checkout has."""
    system = synthesize()
    count = sum(len(metrics(one)) for one in system.resources(ALARM))
    page = (ROOT / "docs" / "cost.md").read_text(encoding="utf-8")
    said = re.search(r"\| alarms \| (\d+) metrics at \$0\.10 \| \$(\d+\.\d\d) \|", page)
    assert said is not None
    assert (int(said[1]), said[2]) == (count, f"{count * CENTS / 100:.2f}")


def test_an_idle_system_costs_less_than_three_dollars_a_month() -> None:
    """The lines of the table add up to its last one; the network is a choice, and stands apart."""
    page = (ROOT / "docs" / "cost.md").read_text(encoding="utf-8")
    table = page[page.index("## An idle month") : page.index("## The network")]
    lines = re.findall(
        r"^\| (.+?) \| .* ?\| (?:\*\*)?\$(\d+\.\d\d)(?:\*\*)? \|$", table, re.MULTILINE
    )
    *parts, (last, total) = lines
    assert last == "**in all**"
    assert round(sum(float(cost) for _, cost in parts), 2) == float(total) < 3
    assert len(parts) >= 7
