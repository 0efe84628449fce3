"""A process's AWS account: its region and credentials, and a client for each service.

By default we call services directly over HTTP. If the configuration needs something only boto3
implements (a proxy, an endpoint in the profile, FIPS, a session with its own client config), we use
a boto3 client instead: it costs more and gives the same answers.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from botocore.config import Config
from botocore.exceptions import BotoCoreError, UnknownRegionError
from botocore.httpsession import get_cert_path
from botocore.session import Session
from botocore.utils import ensure_boolean, get_environ_proxies

from remotejob.backends.aws.access_errors import explain_refusals
from remotejob.backends.aws.direct.connections import MOST_IDLE, Connections
from remotejob.backends.aws.direct.json_service import DirectService
from remotejob.backends.aws.direct.objects import DirectObjects, Place
from remotejob.backends.aws.direct.sender import Sender
from remotejob.backends.aws.heard_time import HeardTime
from remotejob.backends.aws.key_throttling import retry_key_throttling
from remotejob.backends.aws.service import DYNAMODB, SQS, Api, Boto3Service, Service, Timeouts
from remotejob.domain.errors import AccessProblem, SettingsError
from remotejob.domain.text import shown
from remotejob.names import Env
from remotejob.ports import Clock

if TYPE_CHECKING:
    import boto3
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_ssm import SSMClient

_USER_AGENT: Final = "remotejob"


@dataclass(frozen=True, kw_only=True, slots=True)
class RequestPolicy:
    """How many times to try a request, and how long to wait for it."""

    attempts: int
    """Including the first."""
    timeouts: Timeouts

    def boto3_config(self) -> Config:
        """This policy as a boto3 client takes it."""
        return Config(
            retries={"mode": "standard", "max_attempts": self.attempts},
            max_pool_connections=MOST_IDLE,
            connect_timeout=self.timeouts.connect,
            read_timeout=self.timeouts.poll,
            user_agent_extra=_USER_AGENT,
        )


DEFAULT_POLICY: Final = RequestPolicy(attempts=5, timeouts=Timeouts(connect=5, read=10, poll=40))
"""A poll may take twice the longest wait, any other request ten seconds."""

TABLE_POLICY: Final = RequestPolicy(attempts=4, timeouts=Timeouts(connect=3, read=5, poll=5))
"""DynamoDB answers in milliseconds or not at all, and a heartbeat must not outlast its lease."""

_POLICIES: Final[Mapping[str, RequestPolicy]] = {
    DYNAMODB.service: TABLE_POLICY,
    SQS.service: DEFAULT_POLICY,
}

_DNS_SUFFIXES: Final[Mapping[str, str]] = {
    "aws": "amazonaws.com",
    "aws-us-gov": "amazonaws.com",
    "aws-cn": "amazonaws.com.cn",
}
"""By partition. In others, hosts follow rules that only boto3 knows.

Source: AWS General Reference, "DynamoDB endpoints and quotas" and "Amazon SQS endpoints and
quotas".
"""


_ACCOUNT_ID_MODES: Final = ("preferred", "required", "disabled")
_ACCOUNT_ID: Final = re.compile(r"[0-9]{12}")


class Account:
    """The clients of one AWS account and region. Thread-safe."""

    def __init__(self, session: boto3.Session | None = None) -> None:
        """Use `session`, or else the process's environment.

        Raises: AccessProblem, when no region is set.
        """
        self._boto3 = session
        self.heard_time: Final = HeardTime()
        self._lock = threading.Lock()
        if session is None:
            self._session = Session()
            # botocore reads only AWS_DEFAULT_REGION; AWS's containers and other SDKs set AWS_REGION
            region = os.environ.get("AWS_REGION") or self._session.get_config_variable("region")
        else:
            # boto3's session does not expose its configuration; the botocore session inside does
            self._session = session._session
            region = session.region_name
        if not region:
            raise AccessProblem(
                "no AWS region; set AWS_REGION, or a region in the profile, or start "
                "`remotejob local` in the project's folder"
            )
        self.region: Final[str] = region
        # read it now: the client is created later, when the environment may have changed
        self._s3_url = _endpoint_from_environment("s3")

    def service(self, api: Api, *, clock: Clock) -> Service:
        """A client for DynamoDB or SQS. Raises: SettingsError."""
        policy = _POLICIES[api.service]
        url = self._direct_endpoint(api.service)
        if url is None:
            return Boto3Service(self.client(api.service, policy))
        sender = self._sender(api.service, url, clock=clock)
        return DirectService(
            api, sender, timeouts=policy.timeouts, attempts=policy.attempts, clock=clock
        )

    def objects(self, buckets: Iterable[str], *, clock: Clock) -> DirectObjects | None:
        """A direct client for these buckets, or None if only boto3 knows how to reach them.

        The buckets must be in the account's region. Raises: SettingsError.
        Source: Amazon S3 User Guide, "Virtual hosting of general purpose buckets".
        """
        url = self._direct_endpoint("s3")
        if url is None or "s3" in self._session.get_scoped_config():
            return None
        parts = urlsplit(url)
        if _is_ip_address(parts.hostname or ""):
            sender = self._sender("s3", url, clock=clock)
            places = {bucket: Place(sender, f"/{bucket}/") for bucket in buckets}
        elif self._s3_url is not None:
            # does this host serve each bucket as a subdomain? boto3 has options for that
            return None
        else:
            hosts = {
                bucket: f"https://{bucket}.{parts.netloc}/"
                for bucket in buckets
                # a wildcard certificate covers only one label before the host
                if "." not in bucket
            }
            places = {
                bucket: Place(self._sender("s3", host, clock=clock), "/")
                for bucket, host in hosts.items()
            }
        # the read timeout of boto3's client, so both give up after the same time
        return DirectObjects(places, read_s=DEFAULT_POLICY.timeouts.poll)

    def _sender(self, service: str, url: str, *, clock: Clock) -> Sender:
        variable = self._session.get_config_variable
        ca_bundle = variable("ca_bundle") or os.environ.get("REQUESTS_CA_BUNDLE")
        connections = Connections(
            url,
            connect_s=_POLICIES.get(service, DEFAULT_POLICY).timeouts.connect,
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
        """Cached, because without credentials each lookup waits for the metadata service."""
        return self._session.get_credentials()

    @cached_property
    def ssm(self) -> SSMClient:
        """A boto3 client for SSM, the same one each time: what a system is described by is read
        again now and then, in the same place."""
        client: SSMClient = self.client("ssm", DEFAULT_POLICY)
        return client

    def s3(self) -> S3Client:
        """A boto3 client for S3."""
        client: S3Client = self.client("s3", DEFAULT_POLICY)
        return client

    def client(self, service: str, policy: RequestPolicy) -> Any:
        """A new boto3 client. Creating one takes about 50 ms."""
        with self._lock:
            if self._boto3 is None:
                # the import takes 0.2 s, and most workers start without a boto3 client
                import boto3

                self._boto3 = boto3.Session(botocore_session=self._session, region_name=self.region)
            client: Any = self._boto3.client(  # type: ignore[call-overload]
                service,
                config=policy.boto3_config(),
                endpoint_url=self._s3_url if service == "s3" else None,
            )
        explain_refusals(client)
        retry_key_throttling(client, attempts=policy.attempts)
        self.heard_time.listen_to(client)
        return client

    def _direct_endpoint(self, service: str) -> str | None:
        """A service's URL, ending in a slash; None if only boto3 knows how to reach it.

        Source: AWS SDKs and Tools Reference Guide, "Service-specific endpoints".
        """
        if _boto3_is_chosen() or self._needs_boto3():
            return None
        url = _endpoint_from_environment(service)
        if url is None:
            suffix = self._dns_suffix()
            if suffix is None:
                return None
            if service == DYNAMODB.service:
                return self._dynamodb_endpoint(suffix)
            url = f"https://{service}.{self.region}.{suffix}"
        return _reached_directly(url)

    def _dynamodb_endpoint(self, suffix: str) -> str | None:
        """The region's endpoint, or the account's own; None if only boto3 can tell.

        Source: AWS SDKs and Tools Reference Guide, "Account-based endpoints".
        """
        mode = str(self._session.get_config_variable("account_id_endpoint_mode")).lower()
        if mode not in _ACCOUNT_ID_MODES:
            raise SettingsError(
                f"AWS_ACCOUNT_ID_ENDPOINT_MODE={shown(mode)}: use {', '.join(_ACCOUNT_ID_MODES)}"
            )
        account = None if mode == "disabled" else self._account_id()
        if account is None:
            # boto3 explains why there is no account's endpoint
            return (
                None
                if mode == "required"
                else _reached_directly(f"https://dynamodb.{self.region}.{suffix}")
            )
        return _reached_directly(f"https://{account}.ddb.{self.region}.{suffix}")

    def _account_id(self) -> str | None:
        """The account that the credentials name, if they do."""
        try:
            account = getattr(self._credentials, "account_id", None)
        except BotoCoreError:
            # the first request says what is wrong with them
            return None
        return account if isinstance(account, str) and _ACCOUNT_ID.fullmatch(account) else None

    def _dns_suffix(self) -> str | None:
        """The end of the region's host names; None if its partition has its own rules."""
        try:
            return _DNS_SUFFIXES.get(self._session.get_partition_for_region(self.region))
        except UnknownRegionError:
            return None

    def _needs_boto3(self) -> bool:
        """Whether the session or its profile sets something that our own client ignores."""
        variable = self._session.get_config_variable
        profile = self._session.get_scoped_config()
        return bool(
            variable("use_fips_endpoint")
            or variable("use_dualstack_endpoint")
            or _ignores_endpoint_variables()
            or self._session.get_default_client_config() is not None
            or profile.keys() & {"endpoint_url", "services", "ignore_configured_endpoint_urls"}
        )


def _endpoint_from_environment(service: str) -> str | None:
    if _ignores_endpoint_variables():
        return None
    return os.environ.get(f"AWS_ENDPOINT_URL_{service.upper()}") or os.environ.get(
        "AWS_ENDPOINT_URL"
    )


def _reached_directly(url: str) -> str | None:
    """The URL, ending in a slash; None if only boto3 knows how to reach it."""
    has_path_or_user = bool(urlsplit(url).path.strip("/")) or "@" in url
    return None if has_path_or_user or get_environ_proxies(url) else url.rstrip("/") + "/"


def _ignores_endpoint_variables() -> bool:
    return bool(ensure_boolean(os.environ.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "")))


def _is_ip_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _boto3_is_chosen() -> bool:
    transport = os.environ.get(Env.TRANSPORT, "direct")
    if transport not in ("direct", "boto3"):
        raise SettingsError(
            f"{Env.TRANSPORT}={transport!r}: use direct, or boto3 to call DynamoDB, SQS and S3 "
            "with boto3's own clients"
        )
    return transport == "boto3"
