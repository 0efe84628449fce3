"""List the actions and resources a request needs permission for; these differ from API names.

Source: Service Authorization Reference, "Actions, resources, and condition keys for" Amazon S3,
Amazon SQS, Amazon DynamoDB, Amazon ECS, AWS Lambda, AWS Systems Manager, AWS STS.

Limits: for services not listed here, and for ECS beyond task protection, only the action is
checked, not the resource.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote
from xml.etree import ElementTree as ET

from remotejob.local.access import attributes
from remotejob.local.access.leading_keys import key_attribute, leading_keys
from remotejob.local.access.policies import Access

#: Action prefix by signing name, where they differ.
_ACTION_PREFIX = {"monitoring": "cloudwatch", "elasticfilesystem": "efs"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """One request to one service: the parts that decide which permissions it needs."""

    service: str
    operation: str
    region: str
    account: str
    #: Parameters from the JSON body, the form, or the path of a REST request.
    parameters: Mapping[str, Any]
    #: Query string of a REST request.
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: bytes

    def arn(self, resource: str, *, service: str | None = None) -> str:
        """The ARN of a resource of this account and region."""
        return f"arn:aws:{service or self.service}:{self.region}:{self.account}:{resource}"


def required(call: Call) -> list[Access]:
    """Every access the caller must have; an empty list means it needs no permission."""
    rule = _RULES.get(call.service)
    if rule is not None:
        return rule(call)
    prefix = _ACTION_PREFIX.get(call.service, call.service)
    return [Access(action=f"{prefix}:{call.operation}", resource=None)]


# --- DynamoDB ------------------------------------------------------------------------------------

_TRANSACTION_ACTIONS = {
    "Put": "PutItem",
    "Update": "UpdateItem",
    "Delete": "DeleteItem",
    "ConditionCheck": "ConditionCheckItem",
    "Get": "GetItem",
}


def _dynamodb(call: Call) -> list[Access]:
    def table(name: Any) -> str:
        return str(name) if str(name).startswith("arn:") else call.arn(f"table/{name}")

    def access(
        action: str, resource: str, names: list[str], keys: list[str], **more: str
    ) -> Access:
        # Leave a key out if nothing is named: an empty list would satisfy any "only these".
        named = {"dynamodb:Attributes": names, "dynamodb:LeadingKeys": keys}
        context = {key: values for key, values in named.items() if values}
        return Access(action=f"dynamodb:{action}", resource=resource, context={**context, **more})

    def keys(name: Any, requests: list[Any], index: Any = None) -> list[str]:
        return leading_keys(requests, key_attribute(call.account, call.region, str(name), index))

    if call.operation in ("TransactWriteItems", "TransactGetItems"):
        # There is no permission for transactions: each part needs that of its own operation.
        within = {"dynamodb:EnclosingOperation": call.operation}
        return [
            access(
                _TRANSACTION_ACTIONS[kind],
                table(part.get("TableName")),
                attributes.named(part),
                keys(part.get("TableName"), [part]),
                **within,
            )
            for item in call.parameters.get("TransactItems", [])
            for kind, part in item.items()
            if kind in _TRANSACTION_ACTIONS
        ]
    if call.operation == "BatchWriteItem":
        return [
            access(
                call.operation,
                table(name),
                attributes.named_in_batch(requests),
                keys(name, [part for one in requests for part in one.values()]),
            )
            for name, requests in call.parameters.get("RequestItems", {}).items()
        ]
    if call.operation == "BatchGetItem":
        return [
            access(call.operation, table(name), attributes.named(request), keys(name, [request]))
            for name, request in call.parameters.get("RequestItems", {}).items()
        ]
    name = call.parameters.get("TableName")
    if name is None:
        return [access(call.operation, "*", [], [])]
    index = call.parameters.get("IndexName")
    # A query on an index needs permission on the index's ARN, not on the table's.
    resource = f"{table(name)}/index/{index}" if index else table(name)
    named = attributes.named(call.parameters)
    return [access(call.operation, resource, named, keys(name, [call.parameters], index))]


# --- SQS -----------------------------------------------------------------------------------------


def _sqs(call: Call) -> list[Access]:
    # There are no permissions for batches: sqs:SendMessage also allows SendMessageBatch.
    action = f"sqs:{call.operation.removesuffix('Batch')}"
    name = call.parameters.get("QueueName")
    if name is None:
        name = str(call.parameters.get("QueueUrl", "")).rstrip("/").rpartition("/")[2]
    return [Access(action=action, resource=call.arn(name) if name else "*")]


# --- S3 ------------------------------------------------------------------------------------------

#: Action by operation, where they differ.
_S3_ACTIONS = {
    "HeadObject": "GetObject",
    "GetObjectAttributes": "GetObject",
    "ListObjects": "ListBucket",
    "ListObjectsV2": "ListBucket",
    "HeadBucket": "ListBucket",
    "ListObjectVersions": "ListBucketVersions",
    "CreateMultipartUpload": "PutObject",
    "UploadPart": "PutObject",
    "UploadPartCopy": "PutObject",
    "CompleteMultipartUpload": "PutObject",
    "CopyObject": "PutObject",
    "ListParts": "ListMultipartUploadParts",
    "ListMultipartUploads": "ListBucketMultipartUploads",
    "ListBuckets": "ListAllMyBuckets",
    "DeleteObjects": "DeleteObject",
    "GetBucketNotificationConfiguration": "GetBucketNotification",
    "PutBucketNotificationConfiguration": "PutBucketNotification",
    "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
    "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
    "GetBucketEncryption": "GetEncryptionConfiguration",
    "PutBucketEncryption": "PutEncryptionConfiguration",
    "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
    "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
    "GetBucketCors": "GetBucketCORS",
    "PutBucketCors": "PutBucketCORS",
}
#: Actions that have a second form for requests that name a version.
_S3_VERSIONED = (
    "GetObject",
    "DeleteObject",
    "GetObjectTagging",
    "PutObjectTagging",
    "GetObjectAcl",
)


def _s3(call: Call) -> list[Access]:
    bucket = call.parameters.get("Bucket")
    key = call.parameters.get("Key")
    if bucket is None:
        action = _S3_ACTIONS.get(call.operation, call.operation)
        return [Access(action=f"s3:{action}", resource="*")]
    if call.operation == "DeleteObjects":
        return [_s3_delete(str(bucket), entry) for entry in _deleted(call.body)]
    action = _S3_ACTIONS.get(call.operation, call.operation)
    if "versionId" in call.query and action in _S3_VERSIONED:
        action = action.replace("Object", "ObjectVersion", 1)
    resource = f"arn:aws:s3:::{bucket}/{key}" if key is not None else f"arn:aws:s3:::{bucket}"
    context = {
        f"s3:{name}": call.query[name][0]
        for name in ("prefix", "delimiter", "max-keys")
        if name in call.query
    }
    needed = [Access(action=f"s3:{action}", resource=resource, context=context)]
    if "x-amz-tagging" in call.headers:
        needed.append(Access(action="s3:PutObjectTagging", resource=resource))
    if "x-amz-acl" in call.headers:
        needed.append(Access(action="s3:PutObjectAcl", resource=resource))
    source = call.headers.get("x-amz-copy-source")
    if source is not None:
        # split first: an encoded question mark belongs to the key
        path, _, query = source.removeprefix("/").partition("?")
        read = "s3:GetObjectVersion" if "versionId" in parse_qs(query) else "s3:GetObject"
        needed.append(Access(action=read, resource=f"arn:aws:s3:::{unquote(path)}"))
    return needed


def list_bucket(call: Call) -> Access:
    """The access that makes a missing object answer "no such key", not "access denied"."""
    bucket = call.parameters.get("Bucket")
    return Access(action="s3:ListBucket", resource=f"arn:aws:s3:::{bucket}")


def _s3_delete(bucket: str, entry: tuple[str, bool]) -> Access:
    key, versioned = entry
    action = "s3:DeleteObjectVersion" if versioned else "s3:DeleteObject"
    return Access(action=action, resource=f"arn:aws:s3:::{bucket}/{key}")


def _deleted(body: bytes) -> list[tuple[str, bool]]:
    def tag(element: ET.Element) -> str:
        return element.tag.rpartition("}")[2]

    entries = [
        {tag(child): child.text or "" for child in element}
        for element in ET.fromstring(body)  # noqa: S314  (signed by a caller we know)
        if tag(element) == "Object"
    ]
    return [(entry["Key"], "VersionId" in entry) for entry in entries]


# --- The others ----------------------------------------------------------------------------------


def _lambda(call: Call) -> list[Access]:
    action = {"Invoke": "InvokeFunction", "InvokeAsync": "InvokeFunction"}.get(call.operation)
    name = call.parameters.get("FunctionName")
    if name is None:
        return [Access(action=f"lambda:{action or call.operation}", resource=None)]
    arn = str(name) if str(name).startswith("arn:") else call.arn(f"function:{name}")
    return [Access(action=f"lambda:{action or call.operation}", resource=arn)]


def _ssm(call: Call) -> list[Access]:
    names = call.parameters.get("Names") or [
        call.parameters.get("Name") or call.parameters.get("Path")
    ]
    action = f"ssm:{call.operation}"
    if names == [None]:
        return [Access(action=action, resource="*")]
    arns = [
        str(n) if str(n).startswith("arn:") else call.arn(f"parameter/{str(n).removeprefix('/')}")
        for n in names
    ]
    return [Access(action=action, resource=re.sub(r"/$", "", arn)) for arn in arns]


def _ecs(call: Call) -> list[Access]:
    action, asked = f"ecs:{call.operation}", call.parameters
    if call.operation not in ("GetTaskProtection", "UpdateTaskProtection"):
        return [Access(action=action, resource=None)]
    cluster = str(asked.get("cluster", "default")).rpartition("/")[2]
    tasks = [str(task) for task in asked.get("tasks") or ["*"]]
    arns = [t if t.startswith("arn:") else call.arn(f"task/{cluster}/{t}") for t in tasks]
    return [Access(action=action, resource=arn) for arn in arns]


def _sts(call: Call) -> list[Access]:
    if call.operation == "GetCallerIdentity":
        return []  # always allowed, even against an explicit deny
    resource = call.parameters.get("RoleArn")
    return [Access(action=f"sts:{call.operation}", resource=str(resource) if resource else "*")]


_RULES: Mapping[str, Callable[[Call], list[Access]]] = {
    "dynamodb": _dynamodb,
    "ecs": _ecs,
    "lambda": _lambda,
    "s3": _s3,
    "sqs": _sqs,
    "ssm": _ssm,
    "sts": _sts,
}
