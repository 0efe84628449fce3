"""Error codes by which a service says that KMS throttles it."""

from __future__ import annotations


def is_key_throttled(code: object) -> bool:
    """Whether KMS refused a service's request for a data key, because there were too many.

    SQS and S3 answer so with status 400, and no SDK retries it. Source: Amazon SQS API Reference,
    SendMessage, KmsThrottled; AWS KMS Developer Guide, "Throttling requests".
    """
    text = str(code).lower()
    return text.startswith("kms") and "throttl" in text
