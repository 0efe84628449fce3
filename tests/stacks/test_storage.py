"""The buckets and the job table."""

from __future__ import annotations

from typing import Any

import pytest

from remotejob.names import ATTENTION_INDEX, INPUT_PREFIX_SUBMITTED, Field, Part
from tests.stacks.conftest import Synthesize
from tests.stacks.templates import Resource, System

BUCKET = "AWS::S3::Bucket"
TABLE = "AWS::DynamoDB::Table"
QUEUE = "AWS::SQS::Queue"


def input_bucket(system: System) -> Resource:
    return system.resource(BUCKET, VersioningConfiguration={"Status": "Enabled"})


def rules(bucket: Resource) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = bucket.properties["LifecycleConfiguration"]["Rules"]
    return found


def test_every_bucket_is_private_and_encrypted(system: System) -> None:
    buckets = system.resources(BUCKET)
    assert len(buckets) == 3
    for bucket in buckets:
        assert bucket.properties["PublicAccessBlockConfiguration"] == dict.fromkeys(
            ["BlockPublicAcls", "BlockPublicPolicy", "IgnorePublicAcls", "RestrictPublicBuckets"],
            True,
        )
        (encryption,) = bucket.properties["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        assert encryption["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
        assert bucket.properties["OwnershipControls"]["Rules"] == [
            {"ObjectOwnership": "BucketOwnerEnforced"}
        ]


def test_every_bucket_refuses_calls_without_tls(system: System) -> None:
    refusing = {
        policy.properties["Bucket"]["Ref"]
        for policy in system.resources("AWS::S3::BucketPolicy")
        for statement in policy.properties["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Deny"
        and statement["Action"] == "s3:*"
        and statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    }
    assert refusing == {bucket.id for bucket in system.resources(BUCKET)}


def test_input_and_output_write_access_logs(system: System) -> None:
    logging = [r.properties.get("LoggingConfiguration") for r in system.resources(BUCKET)]
    prefixes = {entry["LogFilePrefix"] for entry in logging if entry}
    assert prefixes == {"input/", "output/"}


def test_only_the_input_bucket_sends_events(system: System) -> None:
    sending = [
        r.id for r in system.resources(BUCKET) if "NotificationConfiguration" in r.properties
    ]
    assert sending == [input_bucket(system).id]
    assert input_bucket(system).properties["NotificationConfiguration"] == {
        "EventBridgeConfiguration": {"EventBridgeEnabled": True}
    }


def test_submitted_inputs_go_a_day_after_their_records(system: System) -> None:
    (rule,) = [r for r in rules(input_bucket(system)) if "ExpirationInDays" in r]
    assert rule["Prefix"] == INPUT_PREFIX_SUBMITTED
    assert rule["ExpirationInDays"] == 31
    assert rule["Status"] == "Enabled"


def test_replaced_versions_go_after_the_retention(system: System) -> None:
    (rule,) = [r for r in rules(input_bucket(system)) if "NoncurrentVersionExpiration" in r]
    assert rule["NoncurrentVersionExpiration"] == {"NoncurrentDays": 30}
    assert rule["ExpiredObjectDeleteMarker"] is True
    assert "Prefix" not in rule


def test_unfinished_uploads_go_after_a_day(system: System) -> None:
    for bucket in system.resources(BUCKET):
        if "LoggingConfiguration" in bucket.properties:
            assert {"DaysAfterInitiation": 1} in [
                rule.get("AbortIncompleteMultipartUpload") for rule in rules(bucket)
            ]


def test_outputs_do_not_expire(system: System) -> None:
    (output,) = [
        r
        for r in system.resources(BUCKET)
        if r.properties.get("LoggingConfiguration", {}).get("LogFilePrefix") == "output/"
    ]
    assert not [rule for rule in rules(output) if "ExpirationInDays" in rule]


def test_the_table_has_the_keys_and_the_index_of_the_library(system: System) -> None:
    table = system.resource(TABLE).properties
    assert table["KeySchema"] == [
        {"AttributeName": Field.PK, "KeyType": "HASH"},
        {"AttributeName": Field.SK, "KeyType": "RANGE"},
    ]
    (index,) = table["GlobalSecondaryIndexes"]
    assert index["IndexName"] == ATTENTION_INDEX
    assert index["Projection"] == {"ProjectionType": "KEYS_ONLY"}
    assert index["KeySchema"] == [
        {"AttributeName": Field.ATTENTION, "KeyType": "HASH"},
        {"AttributeName": Field.ATTENTION_AT, "KeyType": "RANGE"},
    ]
    assert {(a["AttributeName"], a["AttributeType"]) for a in table["AttributeDefinitions"]} == {
        (Field.PK, "S"),
        (Field.SK, "S"),
        (Field.ATTENTION, "S"),
        (Field.ATTENTION_AT, "N"),
    }


def test_the_table_is_on_demand_recoverable_and_forgets(system: System) -> None:
    table = system.resource(TABLE).properties
    assert table["BillingMode"] == "PAY_PER_REQUEST"
    assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert table["TimeToLiveSpecification"] == {
        "AttributeName": Field.EXPIRES,
        "Enabled": True,
    }


@pytest.mark.parametrize("kind", [BUCKET, TABLE, QUEUE])
def test_production_outlives_its_stack_and_development_does_not(
    system: System, production: System, kind: str
) -> None:
    for stage, policy in ((system, "Delete"), (production, "Retain")):
        for resource in stage.resources_of(Part.STORAGE, kind):
            assert resource.body["DeletionPolicy"] == policy
            assert resource.body["UpdateReplacePolicy"] == policy


def test_only_production_is_protected_from_deletion(system: System, production: System) -> None:
    assert production.resource(TABLE).properties["DeletionProtectionEnabled"] is True
    assert not system.resource(TABLE).properties.get("DeletionProtectionEnabled")
    assert production.artifact("storage")["properties"]["terminationProtection"] is True
    assert not system.artifact("storage")["properties"].get("terminationProtection")


def test_logical_ids_of_what_holds_data_never_change(system: System, production: System) -> None:
    """A new id is a new, empty resource. Changing one takes an ADR and a migration."""
    for stage in (system, production):
        assert {r.id for r in (*stage.resources(BUCKET), *stage.resources(TABLE))} == {
            "BucketsInputDC6E7815",
            "BucketsLogsF3E46FAF",
            "BucketsOutput3C209D31",
            "JobsTable10C8EDF6",
        }
        assert {r.id for r in stage.resources("AWS::SQS::Queue")} >= {
            "QueuesdefaultHigh80C784F6",
            "QueuesdefaultNormal5ED23F3F",
            "QueuesdefaultLow3E6779D6",
            "QueuesdefaultDeadLetterCF20AFE2",
            "QueuesdefaultCompleted01525255",
            "QueuesdefaultFailedF01C4365",
        }


def test_retention_follows_the_settings(synthesize: Synthesize) -> None:
    bucket = input_bucket(synthesize(retention_days=90))
    days = [r["ExpirationInDays"] for r in rules(bucket) if "ExpirationInDays" in r]
    assert days == [91]


def test_the_table_has_no_ceiling_unless_the_settings_give_one(
    system: System, synthesize: Synthesize
) -> None:
    table = system.resource(TABLE).properties
    (index,) = table["GlobalSecondaryIndexes"]
    assert "OnDemandThroughput" not in {*table, *index}

    capped = "30\nmax_read_units = 500\nmax_write_units = 200"
    table = synthesize(retention_days=capped).resource(TABLE).properties
    (index,) = table["GlobalSecondaryIndexes"]
    most = {"MaxReadRequestUnits": 500, "MaxWriteRequestUnits": 200}
    assert table["OnDemandThroughput"] == index["OnDemandThroughput"] == most
