"""The job table: its state, its index, expiry and recovery."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from remotejob.cli.doctor.deployed.context import Context
from remotejob.cli.doctor.findings import Finding, Severity
from remotejob.names import ATTENTION_INDEX, Field, Part

_DEPLOY: Final = "deploy the storage stack again"


def check_table(context: Context) -> Iterator[Finding]:
    client = context.client("dynamodb")
    for table in context.inventory.of("AWS::DynamoDB::Table", Part.STORAGE):
        name = table.physical_id
        try:
            described = client.describe_table(TableName=name)["Table"]
        except client.exceptions.ResourceNotFoundException:
            yield Finding(
                place=f"table {name}",
                what="it does not exist: the jobs are gone",
                remedy="restore it from a backup under the same name, or deploy a new system",
            )
            continue
        yield from _of(name, described)
        yield from _expiry(name, client.describe_time_to_live(TableName=name))
        yield from _recovery(name, client.describe_continuous_backups(TableName=name))


def _of(name: str, table: Any) -> Iterator[Finding]:
    status = table["TableStatus"]
    if status not in ("ACTIVE", "UPDATING"):
        yield Finding(
            place=f"table {name}",
            what=f"it is {status}",
            remedy="look at it in the console: it may have lost its key",
        )
    indexes = {one["IndexName"]: one for one in table.get("GlobalSecondaryIndexes", ())}
    index = indexes.get(ATTENTION_INDEX)
    if index is None:
        yield Finding(
            place=f"table {name}",
            what=f"its index {ATTENTION_INDEX} is missing: nothing that is due is sent",
            remedy=_DEPLOY,
        )
    elif index["IndexStatus"] != "ACTIVE":
        yield Finding(
            place=f"table {name}",
            what=f"its index {ATTENTION_INDEX} is {index['IndexStatus']}",
            remedy="wait until it is ACTIVE; a new index of many jobs takes hours",
            severity=Severity.WARNING,
        )


def _expiry(name: str, answer: Any) -> Iterator[Finding]:
    described = answer["TimeToLiveDescription"]
    enabled = described["TimeToLiveStatus"] in ("ENABLED", "ENABLING")
    if not enabled or described.get("AttributeName") != Field.EXPIRES:
        yield Finding(
            place=f"table {name}",
            what="its time to live is off: ended jobs are never deleted, and cost",
            remedy=f"{_DEPLOY}, or: aws dynamodb update-time-to-live --table-name {name} "
            f"--time-to-live-specification Enabled=true,AttributeName={Field.EXPIRES}",
            severity=Severity.WARNING,
        )


def _recovery(name: str, answer: Any) -> Iterator[Finding]:
    described = answer["ContinuousBackupsDescription"]
    recovery = described.get("PointInTimeRecoveryDescription", {})
    if recovery.get("PointInTimeRecoveryStatus") != "ENABLED":
        yield Finding(
            place=f"table {name}",
            what="point-in-time recovery is off: what is deleted by mistake is lost",
            remedy=f"{_DEPLOY}, or: aws dynamodb update-continuous-backups --table-name {name} "
            "--point-in-time-recovery-specification PointInTimeRecoveryEnabled=true",
            severity=Severity.WARNING,
        )
