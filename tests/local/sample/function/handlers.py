"""Handlers that do what the tests ask them to, with the standard library alone."""

import datetime as dt
import hashlib
import hmac
import importlib.util
import json
import os
import sys
import time
import urllib.error
import urllib.request
from typing import Any

CALLS: list[str] = []


def call(service: str, target: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """Send one signed request of the JSON protocol; the parsed answer, or the error's."""
    endpoint = os.environ["AWS_ENDPOINT_URL"]
    now = dt.datetime.now(dt.UTC).strftime("%Y%m%dT%H%M%SZ")
    body = json.dumps(parameters).encode()
    headers = {
        "content-type": "application/x-amz-json-1.0",
        "host": endpoint.partition("://")[2],
        "x-amz-date": now,
        "x-amz-security-token": os.environ["AWS_SESSION_TOKEN"],
        "x-amz-target": target,
    }
    names = sorted(headers)
    lines = [f"{name}:{headers[name]}" for name in names]
    digest = hashlib.sha256(body).hexdigest()
    canonical = "\n".join(["POST", "/", "", *lines, "", ";".join(names), digest])
    scope = f"{now[:8]}/{os.environ['AWS_REGION']}/{service}/aws4_request"
    hashed = hashlib.sha256(canonical.encode()).hexdigest()
    key = ("AWS4" + os.environ["AWS_SECRET_ACCESS_KEY"]).encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    to_sign = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{hashed}"
    headers["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={os.environ['AWS_ACCESS_KEY_ID']}/{scope}, "
        f"SignedHeaders={';'.join(names)}, "
        f"Signature={hmac.digest(key, to_sign.encode(), 'sha256').hex()}"
    )
    request = urllib.request.Request(endpoint, data=body, headers=headers)  # noqa: S310
    try:
        with urllib.request.urlopen(request) as answer:  # noqa: S310
            answered: dict[str, Any] = json.load(answer)
            return answered
    except urllib.error.HTTPError as error:
        return {"error": error.code, **json.load(error)}


def send(body: Any) -> dict[str, Any]:
    """Tell the tests something, through the results queue."""
    message = {"QueueUrl": os.environ["RESULTS_URL"], "MessageBody": json.dumps(body)}
    return call("sqs", "AmazonSQS.SendMessage", message)


def consumer(event: Any, context: Any) -> Any:
    """Report each record; fail, the first time, on those whose body says so."""
    failures = []
    for record in event["Records"]:
        body = json.loads(record["body"])
        first = record["attributes"]["ApproximateReceiveCount"] == "1"
        if first and body.get("raise"):
            raise RuntimeError("asked to fail")
        if first and body.get("fail"):
            failures.append({"itemIdentifier": record["messageId"]})
        else:
            send({"test": body["test"], "record": record})
    return {"batchItemFailures": failures}


def direct(event: Any, context: Any) -> Any:
    """Do what the event says."""
    CALLS.append(context.aws_request_id)
    print("doing", event["do"])
    match event["do"]:
        case "describe":
            return describe(context)
        case "send":
            return send({"sent": event["body"]})
        case "put":
            item = {"pk": {"S": event["pk"]}, "sk": {"S": "f"}}
            table = os.environ["TABLE"]
            return call("dynamodb", "DynamoDB_20120810.PutItem", {"TableName": table, "Item": item})
        case "get":
            key = {"pk": {"S": event["pk"]}, "sk": {"S": "f"}}
            table = os.environ["TABLE"]
            return call("dynamodb", "DynamoDB_20120810.GetItem", {"TableName": table, "Key": key})
        case "raise":
            raise ValueError("no such thing: ünïcode")
        case "exit":
            os._exit(7)
        case "sleep":
            time.sleep(event["seconds"])
    return event["do"]


def describe(context: Any) -> dict[str, Any]:
    """What the function sees of itself."""
    return {
        "environment": dict(os.environ),
        "path": sys.path,
        "boto3": importlib.util.find_spec("boto3") is not None,
        "calls": len(CALLS),
        "pid": os.getpid(),
        "context": {
            "function_name": context.function_name,
            "memory_limit_in_mb": context.memory_limit_in_mb,
            "invoked_function_arn": context.invoked_function_arn,
            "log_group_name": context.log_group_name,
            "remaining_ms": context.get_remaining_time_in_millis(),
        },
    }
