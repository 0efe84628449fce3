"""Explains why S3 refuses to hand out a file that it has, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from remotejob.domain.errors import FileUnreadable
from remotejob.domain.text import cut

_LONGEST_KEY: Final = 120


def unreadable(
    response: Mapping[str, Any], *, bucket: str, key: str, version: str | None
) -> FileUnreadable | None:
    """The error for a GetObject that no retry will answer; None for any other refusal.

    An archived file is restored by a request of its own, and that takes minutes to days.
    Source: Amazon S3 User Guide, "Restoring an archived object".
    """
    error = response.get("Error", {})
    code, message = error.get("Code", ""), str(error.get("Message", ""))
    what = f"s3://{bucket}/{cut(key, _LONGEST_KEY)}"
    if code == "InvalidObjectState":
        kind = error.get("AccessTier") or error.get("StorageClass") or "Glacier or Deep Archive"
        pinned = "" if version is None else f" --version-id {version}"
        return FileUnreadable(
            # the remedy comes first, because a record keeps only the beginning of a long message
            f"{what} is archived ({kind}): restore it first, then restart the job. `aws s3api "
            f"restore-object --restore-request Days=7 --bucket {bucket}{pinned} --key ...` takes "
            "minutes to 48 hours"
        )
    if code in ("InvalidRequest", "InvalidArgument") and "encryption" in message.lower():
        return FileUnreadable(
            f"{what} is encrypted with a key of its uploader's (SSE-C), which S3 does not keep: "
            "upload it with the bucket's own encryption, or with a KMS key the worker may use"
        )
    return None
