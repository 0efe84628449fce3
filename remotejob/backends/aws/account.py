"""The account, region and credentials of a process, and how its services are asked.

They are asked directly, unless something is configured that only boto3's clients know how to
follow: a proxy, an endpoint of a profile, FIPS, a session with a configuration of its own. Then one
of those is made and asked, which costs more and answers the same.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from botocore.config import Config
from botocore.exceptions import UnknownRegionError
from botocore.httpsession import get_cert_path
from botocore.session import Session
from botocore.utils import ensure_boolean, get_environ_proxies

from remotejob.backends.aws.access_errors import explain_refusals
from remotejob.backends.aws.direct.connections import MOST_IDLE, Connections
from remotejob.backends.aws.direct.json_service import DirectService
from remotejob.backends.aws.direct.objects import DirectObjects, Place
from remotejob.backends.aws.direct.sender import Sender
from remotejob.backends.aws.service import DYNAMODB, SQS, Api, Boto3Service, Patience, Service
from remotejob.domain.errors import AccessProblem, SettingsError
from remotejob.names import Env
from remotejob.ports import Clock

if TYPE_CHECKING:
    import boto3
    from mypy_boto3_s3 import S3Client

_USER_AGENT: Final = "remotejob"


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """How often a request is tried, and how long it is waited for."""

    attempts: int
    patience: Patience

    def config(self) -> Config:
        """The same for one of boto3's clients."""
        return Config(
            retries={"mode": "standard", "max_attempts": self.attempts},
            max_pool_connections=MOST_IDLE,
            connect_timeout=self.patience.connect,
            read_timeout=self.patience.poll,
            user_agent_extra=_USER_AGENT,
        )


USUAL: Final = Limits(attempts=5, patience=Patience(connect=5, read=10, poll=40))
"""An answer may take the longest poll, and as long again; of what does not poll, ten seconds."""

QUICK: Final = Limits(attempts=4, patience=Patience(connect=3, read=5, poll=5))
"""A table answers in milliseconds or not at all, and a heartbeat must not wait out its lease."""

_SUFFIXES: Final[Mapping[str, str]] = {
    "aws": "amazonaws.com",
    "aws-us-gov": "amazonaws.com",
    "aws-cn": "amazonaws.com.cn",
}
"""Source: AWS General Reference, "DynamoDB endpoints and quotas", and those of SQS."""

_LIMITS: Final[Mapping[str, Limits]] = {DYNAMODB.service: QUICK, SQS.service: USUAL}


class Account:
    """An AWS account, as this process reaches it. Safe across threads."""

    def __init__(self, session: boto3.Session | None = None) -> None:
        """Default a session of the process's own environment.

        Raises: AccessProblem, when there is no region.
        """
        self._boto3 = session
        self._lock = threading.Lock()
        if session is None:
            self._session = Session()
            # botocore reads AWS_DEFAULT_REGION alone; the other SDKs, and AWS's own containers,
            # say AWS_REGION
            region = os.environ.get("AWS_REGION") or self._session.get_config_variable("region")
        else:
            # boto3 does not say how it is configured; the session within does
            self._session = session._session
            region = session.region_name
        if not region:
            raise AccessProblem("no AWS region; set AWS_REGION, or a region in the profile")
        self.region: Final[str] = region
        # now, though the client is made later: the environment is this moment's
        self._s3_url = _endpoint_of_environment("s3")

    def service(self, api: Api, *, clock: Clock) -> Service:
        """DynamoDB or SQS. Raises: SettingsError."""
        limits = _LIMITS[api.service]
        url = self._plain_endpoint(api.service)
        if url is None:
            return Boto3Service(self.client(api.service, limits))
        sender = self._sender(api.service, url, clock=clock)
        return DirectService(
            api, sender, patience=limits.patience, attempts=limits.attempts, clock=clock
        )

    def objects(self, buckets: Iterable[str], *, clock: Clock) -> DirectObjects | None:
        """Files of these buckets, which are in the account's region; None where only boto3 knows
        how they are asked for. Raises: SettingsError.

        Source: Amazon S3 User Guide, "Virtual hosting of general purpose buckets".
        """
        url = self._plain_endpoint("s3")
        if url is None or "s3" in self._session.get_scoped_config():
            return None
        parts = urlsplit(url)
        if _is_address(parts.hostname or ""):
            sender = self._sender("s3", url, clock=clock)
            places = {bucket: Place(sender, f"/{bucket}/") for bucket in buckets}
        elif self._s3_url is None:
            # a certificate is good for one name before the host, not for several
            places = {
                bucket: Place(
                    self._sender("s3", f"https://{bucket}.{parts.netloc}/", clock=clock), "/"
                )
                for bucket in buckets
                if "." not in bucket
            }
        else:
            return None
        # as long as boto3's client waits, so that the two give up alike
        return DirectObjects(places, read_s=USUAL.patience.poll)

    def _sender(self, service: str, url: str, *, clock: Clock) -> Sender:
        variable = self._session.get_config_variable
        ca_bundle = variable("ca_bundle") or os.environ.get("REQUESTS_CA_BUNDLE")
        connections = Connections(
            url,
            connect_s=_LIMITS.get(service, USUAL).patience.connect,
            ca_bundle=str(ca_bundle or get_cert_path(verify=True)),
        )
        return Sender(
            service,
            url=url,
            connections=connections,
            region=self.region,
            credentials=self._credentials,
            events=self._session.get_component("event_emitter"),
            user_agent=f"{self._session.user_agent()} {_USER_AGENT}",
            clock=clock,
        )

    @cached_property
    def _credentials(self) -> Any:
        """Once: where there are none, a service of the machine is asked for them in vain."""
        return self._session.get_credentials()

    def s3(self) -> S3Client:
        """A client for S3, whose transfers are boto3's."""
        client: S3Client = self.client("s3", USUAL)
        return client

    def client(self, service: str, limits: Limits) -> Any:
        """One of boto3's clients. Each costs some 50 ms to make."""
        with self._lock:
            if self._boto3 is None:
                # a fifth of a second of a worker's start, and most workers begin with none
                import boto3

                self._boto3 = boto3.Session(botocore_session=self._session, region_name=self.region)
            client: Any = self._boto3.client(  # type: ignore[call-overload]
                service,
                config=limits.config(),
                endpoint_url=self._s3_url if service == "s3" else None,
            )
        explain_refusals(client)
        return client

    def _plain_endpoint(self, service: str) -> str | None:
        """Where a service is, if that and the way there follow from the environment alone.

        Source: AWS SDKs and Tools Reference Guide, "Service-specific endpoints".
        """
        if _transport() == "boto3" or self._specially_configured():
            return None
        url = _endpoint_of_environment(service)
        if url is None:
            suffix = self._suffix()
            if suffix is None:
                return None
            url = f"https://{service}.{self.region}.{suffix}"
        # what lies below a path, or has a user in it, is somebody's own arrangement
        own = urlsplit(url).path.strip("/") or "@" in url
        return None if own or get_environ_proxies(url) else url.rstrip("/") + "/"

    def _suffix(self) -> str | None:
        """What the host names of the region end in; None in partitions of their own rules."""
        try:
            return _SUFFIXES.get(self._session.get_partition_for_region(self.region))
        except UnknownRegionError:
            return None

    def _specially_configured(self) -> bool:
        variable = self._session.get_config_variable
        profile = self._session.get_scoped_config()
        return bool(
            variable("use_fips_endpoint")
            or variable("use_dualstack_endpoint")
            or ensure_boolean(os.environ.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", ""))
            or self._session.get_default_client_config() is not None
            or profile.keys() & {"endpoint_url", "services", "ignore_configured_endpoint_urls"}
        )


def _endpoint_of_environment(service: str) -> str | None:
    if ensure_boolean(os.environ.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "")):
        return None
    return os.environ.get(f"AWS_ENDPOINT_URL_{service.upper()}") or os.environ.get(
        "AWS_ENDPOINT_URL"
    )


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _transport() -> str:
    said = os.environ.get(Env.TRANSPORT, "direct")
    if said not in ("direct", "boto3"):
        raise SettingsError(
            f"{Env.TRANSPORT}={said!r}: use direct, or boto3 to have its own clients ask DynamoDB, "
            "SQS and S3"
        )
    return said
