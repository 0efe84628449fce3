"""Clients that reach the embedded AWS and nothing else, whatever the environment says."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final

import boto3
import botocore.session
from botocore.config import Config

#: Settings of an SDK that would otherwise be read from the caller's environment or home.
_ISOLATED: Final[dict[str, tuple[Any, Any, Any, Any]]] = {
    "profile": (None, [], None, None),
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
    "ca_bundle": (None, None, None, None),
    "use_fips_endpoint": (None, None, False, None),
    "use_dualstack_endpoint": (None, None, False, None),
    "ignore_configured_endpoint_urls": (None, None, True, None),
}


def make_session(environment: Mapping[str, str]) -> boto3.Session:
    """A session with the credentials and the region of `environment`, and none of the caller's."""
    core = botocore.session.Session(session_vars=_ISOLATED)
    return boto3.Session(
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        aws_session_token=environment.get("AWS_SESSION_TOKEN"),
        region_name=environment["AWS_REGION"],
        botocore_session=core,
    )


def make_client(
    session: boto3.Session, service: str, *, endpoint_url: str, config: Config | None = None
) -> Any:
    """A client of a service in the embedded AWS; `config` adds to ours."""
    ours = Config(proxies={}, retries={"mode": "standard", "total_max_attempts": 3})
    return session.client(
        service,  # type: ignore[call-overload]
        endpoint_url=endpoint_url,
        config=ours.merge(config) if config is not None else ours,
    )
