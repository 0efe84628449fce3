"""The services and operations that the embedded AWS serves, from the SDK's own descriptions.

moto has more services. Many of them act on others without asking whose rights they use, so a
service is served only if it is listed here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from moto.core.utils import get_service_model

SERVED: Final = {
    "application-autoscaling": "application-autoscaling",
    "cloudformation": "cloudformation",
    "dynamodb": "dynamodb",
    "ec2": "ec2",
    "ecr": "ecr",
    "ecs": "ecs",
    "events": "events",
    "iam": "iam",
    "kms": "kms",
    "lambda": "lambda",
    "logs": "logs",
    "monitoring": "cloudwatch",
    "s3": "s3",
    "secretsmanager": "secretsmanager",
    "servicequotas": "service-quotas",
    "sqs": "sqs",
    "ssm": "ssm",
    "sts": "sts",
}
"""The SDK's name of each service by its name in signatures."""

_S3_BUCKET_PARTS: Final = (
    "Acl", "AccelerateConfiguration", "Cors", "Encryption", "LifecycleConfiguration", "Logging",
    "NotificationConfiguration", "OwnershipControls", "Policy", "Replication", "Tagging", "Website",
    "InventoryConfiguration",
)  # fmt: skip
_S3: Final = frozenset(
    {
        *(f"{verb}Bucket{part}" for verb in ("Get", "Put") for part in _S3_BUCKET_PARTS),
        *(
            f"DeleteBucket{part}"
            for part in (
                "Cors", "Encryption", "Lifecycle", "OwnershipControls", "Policy", "Replication",
                "Tagging", "Website",
            )
        ),
        "GetBucketLocation", "GetBucketPolicyStatus", "GetBucketVersioning", "PutBucketVersioning",
        "GetObjectLockConfiguration", "PutObjectLockConfiguration", "GetPublicAccessBlock",
        "PutPublicAccessBlock", "DeletePublicAccessBlock", "ListBucketInventoryConfigurations",
        "CreateBucket", "DeleteBucket", "HeadBucket", "ListBuckets", "ListMultipartUploads",
        "ListObjects", "ListObjectsV2", "ListObjectVersions", "DeleteObjects",
        "GetObject", "HeadObject", "PutObject", "DeleteObject", "CopyObject", "GetObjectAcl",
        "PutObjectAcl", "GetObjectAttributes", "GetObjectLegalHold", "PutObjectLegalHold",
        "PutObjectRetention", "GetObjectTagging", "PutObjectTagging", "DeleteObjectTagging",
        "CreateMultipartUpload", "UploadPart", "UploadPartCopy", "ListParts",
        "CompleteMultipartUpload", "AbortMultipartUpload", "RestoreObject",
    }
)  # fmt: skip
"""What moto has. It takes all others for a plain request: `GET key?retention` for GetObject."""

_NOT_JUDGED: Final = frozenset(
    {
        # moto does not verify their proof of identity
        "AssumeRoleWithSAML", "AssumeRoleWithWebIdentity", "AssumeRoot", "GetFederationToken",
        # we do not read which tables, keys and attributes a PartiQL statement names
        "BatchExecuteStatement", "ExecuteStatement", "ExecuteTransaction",
    }
)  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Operation:
    """One operation, and the parts of a request that belong to it."""

    name: str
    path: str
    """With the names of labels in braces."""
    members: frozenset[str]
    query: frozenset[str]
    lists: frozenset[str]
    """Parameters of the query that may come several times."""
    headers: frozenset[str]
    header_prefixes: tuple[str, ...]
    json_body: bool
    """Whether the body of a REST request has the members that its path has not."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Service:
    """One service, and how its requests are told apart."""

    name: str
    """The SDK's."""
    protocols: frozenset[str]
    targets: dict[str, str]
    """Operation by X-Amz-Target; only for the JSON protocol."""
    names: frozenset[str]


@cache
def service(signing_name: str) -> Service | None:
    """The service with this name in signatures; None if it is not served."""
    name = SERVED.get(signing_name)
    if name is None:
        return None
    model = get_service_model(name)
    names = frozenset(model.operation_names) - _NOT_JUDGED
    if name == "s3":
        names &= _S3
    prefix = model.metadata.get("targetPrefix")
    return Service(
        name=name,
        protocols=frozenset(model.metadata.get("protocols", [model.protocol])),
        targets={f"{prefix}.{one}": one for one in names} if prefix else {},
        names=names,
    )


@cache
def operation(service_name: str, name: str) -> Operation:
    """An operation by the SDK's name of its service and its own."""
    model = get_service_model(service_name).operation_model(name)
    shape: Any = model.input_shape
    members = dict(shape.members) if shape is not None else {}
    query, lists, headers, prefixes = set(model.http_trait.query_args), set(), set(), []
    for member in members.values():
        where = member.serialization.get("location")
        named = member.serialization.get("name", member.name)
        if where == "querystring":
            query.add(named)
            lists |= {named} if member.type_name == "list" else set()
        elif where == "header":
            headers.add(named.lower())
        elif where == "headers":
            prefixes.append(named.lower())
    return Operation(
        name=name,
        path=model.http_trait.path,
        members=frozenset(members),
        query=frozenset(query),
        lists=frozenset(lists),
        headers=frozenset(headers),
        header_prefixes=tuple(prefixes),
        json_body=shape is not None and "payload" not in shape.serialization,
    )
