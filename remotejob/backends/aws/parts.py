"""Uploads in parts that take effect only where there is no file yet, which boto3's own cannot."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

PART_BYTES: Final = 16 * 1024 * 1024
_MOST_PARTS: Final = 10_000
"""Source: Amazon S3 User Guide, "Amazon S3 multipart upload limits"."""


def put_parts(
    client: S3Client,
    bucket: str,
    key: str,
    stream: BinaryIO,
    *,
    size: int | None,
    extra: Mapping[str, Any],
) -> None:
    """Store a stream, one part after the other. `size` is its length, if known.

    Raises: ClientError, with PreconditionFailed when there is a file.
    """
    upload = client.create_multipart_upload(Bucket=bucket, Key=key, **extra)["UploadId"]
    where: Any = {"Bucket": bucket, "Key": key, "UploadId": upload}
    try:
        parts: Any = [
            {
                "PartNumber": number,
                "ETag": client.upload_part(PartNumber=number, Body=part, **where)["ETag"],
            }
            for number, part in enumerate(_parts(stream, size), start=1)
        ]
        client.complete_multipart_upload(MultipartUpload={"Parts": parts}, IfNoneMatch="*", **where)
    except BaseException:
        # what stays behind, the bucket's lifecycle deletes after a day
        with contextlib.suppress(ClientError, BotoCoreError):
            client.abort_multipart_upload(**where)
        raise


def _parts(stream: BinaryIO, size: int | None) -> Iterator[bytes]:
    """At least one, which may be empty."""
    length = max(PART_BYTES, -(-(size or 0) // _MOST_PARTS))
    part = _read(stream, length)
    yield part
    while len(part) == length and (part := _read(stream, length)):
        yield part


def _read(stream: BinaryIO, length: int) -> bytes:
    """So many bytes, unless the stream ends: a raw one may give fewer at a time."""
    pieces, left = [], length
    while left and (piece := stream.read(left)):
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)
