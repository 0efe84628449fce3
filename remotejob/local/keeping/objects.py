"""S3 objects as rows, and back: every version, its metadata and tags, and delete markers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from moto.s3.models import FakeBucket, FakeDeleteMarker, FakeKey, S3Backend
from moto.utilities.utils import LowercaseDict

from remotejob.local.keeping.contents import Contents, name_of

_FIELDS: Final = (
    "_storage_class",
    "_etag",
    "_version_id",
    "_is_versioned",
    "website_redirect_location",
    "encryption",
    "kms_key_id",
    "bucket_key_enabled",
    "lock_mode",
    "lock_legal_status",
    "lock_until",
    "checksum_algorithm",
    "checksum_value",
    "checksum_type",
    "checksum_parts",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Version:
    """One version of an object, or a delete marker, which has no content."""

    content: str | None
    size: int
    description: dict[str, Any]


def versions(
    backend: S3Backend, bucket: FakeBucket, key: str, contents: Contents
) -> list[Version] | None:
    """The versions of an object now; writes the content of new ones into files.

    None if the object is being changed: then the journal has it again.
    """
    found = []
    for version in list(bucket.keys.getlist(key, [])):
        if isinstance(version, FakeDeleteMarker):
            found.append(_marker_row(version))
            continue
        name = _content(version, contents)
        if name is None:
            return None
        found.append(
            Version(content=name, size=version.size, description=_description(backend, version))
        )
    return found


def load(
    backend: S3Backend, bucket: FakeBucket, key: str, rows: Iterable[Version], contents: Contents
) -> bool:
    """Put an object into a bucket, unless it has one of that name already.

    Returns whether the content of every version was there; a version without is left out.
    """
    if key in bucket.keys:
        return True
    whole = True
    found: list[FakeKey | FakeDeleteMarker] = []
    for row in rows:
        if row.content is None:
            found.append(_marker(found[-1] if found else None, key, row, bucket))
        elif contents.has(row.content, size=row.size):
            found.append(_key(backend, bucket, key, row, contents))
        else:
            whole = False
    if found:
        bucket.keys.setlist(key, found)
    return whole


def _content(version: FakeKey, contents: Contents) -> str | None:
    name = name_of(version._value_buffer)
    if name is not None:
        return name
    try:
        _ = version.etag  # moto computes it from its buffer, when first asked
        name = contents.write(version.value)
    except ValueError:
        return None  # overwritten or deleted meanwhile, and its buffer closed
    with version.lock:
        in_memory, version._value_buffer = (
            version._value_buffer,
            contents.kept(name),  # type: ignore[assignment]
        )
        in_memory.close()
    return name


def _description(backend: S3Backend, version: FakeKey) -> dict[str, Any]:
    return {
        **{name: getattr(version, name) for name in _FIELDS},
        "metadata": dict(version.metadata),
        "tags": backend.tagger.get_tag_dict_for_resource(version.arn),
        "last_modified": version.last_modified.isoformat(),
        "expiry": version._expiry.isoformat() if version._expiry else None,
    }


def _key(
    backend: S3Backend, bucket: FakeBucket, name: str, row: Version, contents: Contents
) -> FakeKey:
    assert row.content is not None
    description = row.description
    key = FakeKey(name, b"", backend.account_id, backend.region_name, bucket_name=bucket.name)
    for field in _FIELDS:
        setattr(key, field, description[field])
    key._metadata = LowercaseDict(description["metadata"])
    key.last_modified = datetime.fromisoformat(description["last_modified"])
    if description["expiry"]:
        key._expiry = datetime.fromisoformat(description["expiry"])
    key._value_buffer.close()
    key._value_buffer = contents.kept(row.content)  # type: ignore[assignment]
    key.contentsize = row.size
    if description["tags"]:
        tags = backend.tagger.convert_dict_to_tags_input(description["tags"])
        backend.tagger.tag_resource(key.arn, tags)
    return key


def _marker_row(marker: FakeDeleteMarker) -> Version:
    description = {
        "_version_id": marker.version_id,
        "last_modified": marker.last_modified.isoformat(),
    }
    return Version(content=None, size=0, description=description)


def _marker(
    before: FakeKey | FakeDeleteMarker | None, name: str, row: Version, bucket: FakeBucket
) -> FakeDeleteMarker:
    if before is None:
        # moto makes a marker from the version under it, of which this one has none left
        before = FakeKey(name, b"", bucket.account_id, bucket.region_name, bucket_name=bucket.name)
    marker = FakeDeleteMarker(key=before)  # type: ignore[arg-type]  # moto does this too
    marker._version_id = row.description["_version_id"]
    marker.last_modified = datetime.fromisoformat(row.description["last_modified"])
    return marker
