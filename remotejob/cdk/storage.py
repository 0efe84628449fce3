"""Storage: the buckets of inputs and outputs, and the table of job records."""

from __future__ import annotations

from dataclasses import dataclass

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from remotejob.names import ATTENTION_INDEX, INPUT_PREFIX_SUBMITTED, Field

ACCESS_LOG_DAYS = 90


@dataclass(frozen=True, kw_only=True, slots=True)
class BucketsProps:
    """Options of `Buckets`."""

    retention_days: int
    """How long submitted inputs and replaced versions are kept."""
    removal_policy: RemovalPolicy = RemovalPolicy.RETAIN
    """With DESTROY, empty the buckets before you destroy the stack. The stack does not do it: that
    takes a custom resource, whose code could also empty a bucket that matters."""
    input: s3.IBucket | None = None
    output: s3.IBucket | None = None
    """Buckets that exist; nothing of theirs is changed."""
    output_retention_days: int | None = None
    """How long outputs are kept; None for ever."""
    encryption_key: kms.IKey | None = None
    """For new buckets, but the access logs: S3 delivers them to buckets with its own keys alone.
    Source: Amazon S3 User Guide, "Enabling Amazon S3 server access logging"."""


class Buckets(Construct):
    """The input bucket, the output bucket, and the bucket of their access logs."""

    def __init__(self, scope: Construct, id: str, props: BucketsProps) -> None:  # noqa: A002
        super().__init__(scope, id)
        self._props = props
        # whatever the app's flags: these buckets have no ACLs, by which logs came before
        self.node.set_context("@aws-cdk/aws-s3:serverAccessLogsUseBucketPolicy", True)  # noqa: FBT003
        self.shares_input = props.input is not None
        if props.input is None or props.output is None:
            self._logs = self._bucket(
                "Logs",
                lifecycle_rules=[s3.LifecycleRule(expiration=Duration.days(ACCESS_LOG_DAYS))],
            )
        self.input: s3.IBucket = props.input or self._new_input()
        self.output: s3.IBucket = props.output or self._new_output()

    def _new_input(self) -> s3.Bucket:
        # Versioned: a job reads the version that it was made from, even if the file is replaced
        # while the job waits.
        bucket = self._bucket(
            "Input",
            versioned=True,
            server_access_logs_bucket=self._logs,
            server_access_logs_prefix="input/",
            lifecycle_rules=[
                _abort_uploads(),
                s3.LifecycleRule(
                    id="submitted",
                    prefix=INPUT_PREFIX_SUBMITTED,
                    expiration=Duration.days(self._props.retention_days + 1),
                ),
                s3.LifecycleRule(
                    id="replaced",
                    noncurrent_version_expiration=Duration.days(self._props.retention_days),
                    expired_object_delete_marker=True,
                ),
            ],
        )
        _send_events(bucket)
        return bucket

    def _new_output(self) -> s3.Bucket:
        # Not versioned: a key contains the run's id and is written once, and the sweep must delete
        # files for good.
        return self._bucket(
            "Output",
            server_access_logs_bucket=self._logs,
            server_access_logs_prefix="output/",
            lifecycle_rules=[_abort_uploads(), *self._expiry_of_outputs()],
        )

    def _expiry_of_outputs(self) -> list[s3.LifecycleRule]:
        days = self._props.output_retention_days
        if days is None:
            return []
        return [s3.LifecycleRule(id="outputs", expiration=Duration.days(days))]

    def _bucket(
        self,
        id: str,  # noqa: A002
        *,
        lifecycle_rules: list[s3.LifecycleRule],
        versioned: bool = False,
        server_access_logs_bucket: s3.IBucket | None = None,
        server_access_logs_prefix: str | None = None,
    ) -> s3.Bucket:
        key = None if id == "Logs" else self._props.encryption_key
        return s3.Bucket(
            self,
            id,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            encryption=s3.BucketEncryption.S3_MANAGED if key is None else s3.BucketEncryption.KMS,
            encryption_key=key,
            # one call of KMS for many objects
            bucket_key_enabled=None if key is None else True,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            versioned=versioned,
            lifecycle_rules=lifecycle_rules,
            server_access_logs_bucket=server_access_logs_bucket,
            server_access_logs_prefix=server_access_logs_prefix,
            removal_policy=self._props.removal_policy,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class JobTableProps:
    """Options of `JobTable`."""

    deletion_protection: bool = True
    removal_policy: RemovalPolicy = RemovalPolicy.RETAIN
    max_read_units: int | None = None
    max_write_units: int | None = None
    """Request units a second; None for no limit but the account's."""
    warm_read_units: int | None = None
    warm_write_units: int | None = None
    """Request units a second borne at once; None for what a new table bears."""
    encryption_key: kms.IKey | None = None


class JobTable(Construct):
    """The job records: the only truth about the state of a job."""

    def __init__(self, scope: Construct, id: str, props: JobTableProps) -> None:  # noqa: A002
        super().__init__(scope, id)
        warm = _warm_throughput(props)
        self.table = dynamodb.Table(
            self,
            "Table",
            partition_key=_attribute(Field.PK, dynamodb.AttributeType.STRING),
            sort_key=_attribute(Field.SK, dynamodb.AttributeType.STRING),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            max_read_request_units=props.max_read_units,
            max_write_request_units=props.max_write_units,
            warm_throughput=warm,
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            time_to_live_attribute=Field.EXPIRES.value,
            deletion_protection=props.deletion_protection,
            removal_policy=props.removal_policy,
            encryption=(
                None if props.encryption_key is None else dynamodb.TableEncryption.CUSTOMER_MANAGED
            ),
            encryption_key=props.encryption_key,
        )
        # Keys only: each change of a projected attribute would cost a write of the index.
        self.table.add_global_secondary_index(
            index_name=ATTENTION_INDEX,
            partition_key=_attribute(Field.ATTENTION, dynamodb.AttributeType.STRING),
            sort_key=_attribute(Field.ATTENTION_AT, dynamodb.AttributeType.NUMBER),
            projection_type=dynamodb.ProjectionType.KEYS_ONLY,
            max_read_request_units=props.max_read_units,
            max_write_request_units=props.max_write_units,
            # a throttled index would throttle the table
            warm_throughput=warm,
        )


def _warm_throughput(props: JobTableProps) -> dynamodb.WarmThroughput | None:
    if props.warm_read_units is None and props.warm_write_units is None:
        return None
    return dynamodb.WarmThroughput(
        read_units_per_second=props.warm_read_units,
        write_units_per_second=props.warm_write_units,
    )


def _attribute(field: Field, kind: dynamodb.AttributeType) -> dynamodb.Attribute:
    return dynamodb.Attribute(name=field.value, type=kind)


def _abort_uploads() -> s3.LifecycleRule:
    """Delete the parts of abandoned uploads, which are invisible but cost money."""
    return s3.LifecycleRule(
        id="unfinished", abort_incomplete_multipart_upload_after=Duration.days(1)
    )


def _send_events(bucket: s3.Bucket) -> None:
    """Send the bucket's events to EventBridge.

    On the resource itself: `event_bridge_enabled` needs a custom resource, a function that runs at
    deployment to do what CloudFormation can do itself.
    """
    resource = bucket.node.default_child
    assert isinstance(resource, s3.CfnBucket)
    resource.notification_configuration = s3.CfnBucket.NotificationConfigurationProperty(
        event_bridge_configuration=s3.CfnBucket.EventBridgeConfigurationProperty(
            event_bridge_enabled=True
        )
    )
