"""boto3 clients that only reach the embedded AWS, whatever the environment has configured."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final

import boto3
import botocore.session
from botocore.config import Config

#: SDK settings that boto3 would otherwise read from the caller's environment or home.
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
    """A session with the credentials and region of `environment`, ignoring the caller's own."""
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
    """A client of a service in the embedded AWS; `config` is merged into the defaults."""
    defaults = Config(proxies={}, retries={"mode": "standard", "total_max_attempts": 3})
    return session.client(
        service,  # type: ignore[call-overload]
        endpoint_url=endpoint_url,
        config=defaults.merge(config) if config is not None else defaults,
    )
