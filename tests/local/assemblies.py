"""Cloud assemblies written by hand, where the CDK would take seconds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def assembly(folder: Path, *, stack: str, resources: Mapping[str, Any]) -> Path:
    """An assembly with one stack, in a new folder."""
    folder.mkdir()
    artifact = {
        "type": "aws:cloudformation:stack",
        "environment": "aws://123456789012/eu-west-1",
        "properties": {"templateFile": "template.json"},
    }
    manifest = {"version": "48.0.0", "artifacts": {stack: artifact}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "template.json").write_text(json.dumps({"Resources": resources}))
    return folder


def table() -> dict[str, Any]:
    """A table with a secondary index."""
    return {
        "Type": "AWS::DynamoDB::Table",
        "Properties": {
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [
                {"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk", "ak")
            ],
            "KeySchema": [
                {"AttributeName": "pk", "KeyType": "HASH"},
                {"AttributeName": "sk", "KeyType": "RANGE"},
            ],
            "GlobalSecondaryIndexes": [
                {
                    "IndexName": "attention",
                    "KeySchema": [{"AttributeName": "ak", "KeyType": "HASH"}],
                    "Projection": {"ProjectionType": "KEYS_ONLY"},
                }
            ],
        },
    }


def bucket(**properties: Any) -> dict[str, Any]:
    return {"Type": "AWS::S3::Bucket", "Properties": properties}


def queue(**properties: Any) -> dict[str, Any]:
    return {"Type": "AWS::SQS::Queue", "Properties": properties}
