"""List the actions and resources an S3 request needs permission for.

Source: Service Authorization Reference, "Actions, resources, and condition keys for Amazon S3";
Amazon S3 User Guide, "Required permissions for Amazon S3 API operations".
"""

from __future__ import annotations

from typing import Final

from remotejob.local.access import s3_requests
from remotejob.local.access.calls import Call
from remotejob.local.access.policies import Access

#: Action by operation, where they differ.
_ACTIONS: Final = {
    "HeadObject": "GetObject",
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
    "GetBucketAccelerateConfiguration": "GetAccelerateConfiguration",
    "PutBucketAccelerateConfiguration": "PutAccelerateConfiguration",
    "GetBucketNotificationConfiguration": "GetBucketNotification",
    "PutBucketNotificationConfiguration": "PutBucketNotification",
    "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
    "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
    "DeleteBucketLifecycle": "PutLifecycleConfiguration",
    "GetBucketEncryption": "GetEncryptionConfiguration",
    "PutBucketEncryption": "PutEncryptionConfiguration",
    "DeleteBucketEncryption": "PutEncryptionConfiguration",
    "GetBucketReplication": "GetReplicationConfiguration",
    "PutBucketReplication": "PutReplicationConfiguration",
    "DeleteBucketReplication": "PutReplicationConfiguration",
    "GetBucketInventoryConfiguration": "GetInventoryConfiguration",
    "ListBucketInventoryConfigurations": "GetInventoryConfiguration",
    "PutBucketInventoryConfiguration": "PutInventoryConfiguration",
    "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
    "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
    "DeletePublicAccessBlock": "PutBucketPublicAccessBlock",
    "GetObjectLockConfiguration": "GetBucketObjectLockConfiguration",
    "PutObjectLockConfiguration": "PutBucketObjectLockConfiguration",
    "DeleteBucketOwnershipControls": "PutBucketOwnershipControls",
    "DeleteBucketTagging": "PutBucketTagging",
    "GetBucketCors": "GetBucketCORS",
    "PutBucketCors": "PutBucketCORS",
    "DeleteBucketCors": "PutBucketCORS",
}
#: Actions that have a second form for requests that name a version.
_VERSIONED: Final = (
    "GetObject",
    "GetObjectAttributes",
    "DeleteObject",
    "GetObjectTagging",
    "PutObjectTagging",
    "DeleteObjectTagging",
    "GetObjectAcl",
    "PutObjectAcl",
)
#: The action that a header of a write needs in addition, by the header's beginning.
_BY_HEADER: Final = {
    "x-amz-tagging": "PutObjectTagging",
    "x-amz-acl": "PutObjectAcl",
    "x-amz-grant-": "PutObjectAcl",
    "x-amz-object-lock-mode": "PutObjectRetention",
    "x-amz-object-lock-retain-until-date": "PutObjectRetention",
    "x-amz-object-lock-legal-hold": "PutObjectLegalHold",
    "x-amz-bypass-governance-retention": "BypassGovernanceRetention",
}


def required(call: Call) -> list[Access]:
    """Every access the caller must have. Raises: BadCall."""
    bucket, key = call.parameters.get("Bucket"), call.parameters.get("Key")
    action = _ACTIONS.get(call.operation, call.operation)
    if bucket is None:
        return [Access(action=f"s3:{action}", resource="*")]
    if call.operation == "DeleteObjects":
        return [
            access
            for named in s3_requests.deleted(call)
            for access in _deletion(call, f"arn:aws:s3:::{bucket}/{named.key}", named.version)
        ]
    actions = [action]
    if call.operation == "GetObjectAttributes":
        actions.append("GetObject")
    if "versionId" in call.query:
        actions = [
            a.replace("Object", "ObjectVersion", 1) if a in _VERSIONED else a for a in actions
        ]
    resource = f"arn:aws:s3:::{bucket}/{key}" if key is not None else f"arn:aws:s3:::{bucket}"
    context = {
        f"s3:{name}": call.query[name][0]
        for name in ("prefix", "delimiter", "max-keys")
        if name in call.query
    }
    needed = [Access(action=f"s3:{a}", resource=resource, context=context) for a in actions]
    needed += _by_headers(call, resource)
    source = call.headers.get(s3_requests.COPY_SOURCE)
    if source is not None:
        read = s3_requests.copy_source(source)
        action = "GetObject" if read.version is None else "GetObjectVersion"
        needed.append(
            Access(action=f"s3:{action}", resource=f"arn:aws:s3:::{read.bucket}/{read.key}")
        )
    return needed


def list_bucket(call: Call) -> Access:
    """The access that makes a missing object answer "no such key", not "access denied"."""
    bucket = call.parameters.get("Bucket")
    return Access(action="s3:ListBucket", resource=f"arn:aws:s3:::{bucket}")


def _deletion(call: Call, resource: str, version: str | None) -> list[Access]:
    action = "DeleteObject" if version is None else "DeleteObjectVersion"
    return [Access(action=f"s3:{action}", resource=resource), *_by_headers(call, resource)]


def _by_headers(call: Call, resource: str) -> list[Access]:
    needed = {
        action
        for header in call.headers
        if header.startswith("x-amz-")
        for start, action in _BY_HEADER.items()
        if header.startswith(start) and header != "x-amz-tagging-directive"
    }
    if call.parameters.get("Key") is None and call.operation != "DeleteObjects":
        needed = {action.replace("Object", "Bucket") for action in needed}
    return [Access(action=f"s3:{action}", resource=resource) for action in sorted(needed)]
