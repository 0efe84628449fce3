"""A small CDK app with the kinds of resources that the embedded AWS must run.

Three stacks that refer to each other: storage, functions, workers. `python app.py` synthesizes into
the folder that CDK_OUTDIR names.
"""

from __future__ import annotations

from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_lambda_event_sources as sources
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs
from aws_cdk import aws_ssm as ssm
from constructs import Construct

FUNCTION_CODE = str(Path(__file__).parent / "function")


class Storage(cdk.Stack):
    """Buckets, a table, queues and a parameter."""

    def __init__(self, scope: Construct, name: str) -> None:
        super().__init__(scope, name)
        self.uploads = s3.Bucket(self, "Uploads", versioned=True, event_bridge_enabled=True)
        # The property of the resource itself, which needs no custom resource.
        self.direct = s3.CfnBucket(
            self,
            "Direct",
            notification_configuration=s3.CfnBucket.NotificationConfigurationProperty(
                event_bridge_configuration=s3.CfnBucket.EventBridgeConfigurationProperty(
                    event_bridge_enabled=True
                )
            ),
        )
        self.table = dynamodb.Table(
            self,
            "Table",
            partition_key=dynamodb.Attribute(name="pk", type=dynamodb.AttributeType.STRING),
            sort_key=dynamodb.Attribute(name="sk", type=dynamodb.AttributeType.STRING),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            time_to_live_attribute="expires",
        )
        self.table.add_global_secondary_index(
            index_name="attention",
            partition_key=dynamodb.Attribute(name="ak", type=dynamodb.AttributeType.STRING),
            sort_key=dynamodb.Attribute(name="at", type=dynamodb.AttributeType.NUMBER),
            projection_type=dynamodb.ProjectionType.KEYS_ONLY,
        )
        self.dead = sqs.Queue(self, "Dead", retention_period=cdk.Duration.days(14))
        self.work = self._queue("Work", 3)
        self.results = self._queue("Results", 30)
        self.parameter = ssm.StringParameter(
            self, "Parameter", parameter_name="/sample/system", string_value=self.table.table_name
        )

    def _queue(self, name: str, visibility_s: int) -> sqs.Queue:
        return sqs.Queue(
            self,
            name,
            visibility_timeout=cdk.Duration.seconds(visibility_s),
            dead_letter_queue=sqs.DeadLetterQueue(queue=self.dead, max_receive_count=2),
        )


class Functions(cdk.Stack):
    """Functions on a queue, on a schedule, and called directly."""

    def __init__(self, scope: Construct, name: str, storage: Storage) -> None:
        super().__init__(scope, name)
        uploaded = sqs.Queue(self, "Events")
        events.Rule(
            self,
            "Uploaded",
            event_pattern=events.EventPattern(
                source=["aws.s3"],
                detail_type=["Object Created"],
                detail={
                    "bucket": {"name": [storage.uploads.bucket_name, storage.direct.ref]},
                    "object": {
                        "key": [{"anything-but": {"prefix": ["jobs/", "tmp/"]}}],
                        "sequencer": [{"exists": True}],
                    },
                },
            ),
            targets=[targets.SqsQueue(uploaded)],
        )
        self.consumer = self._function("Consumer", storage, timeout_s=2)
        self.consumer.add_event_source(
            sources.SqsEventSource(
                storage.work,
                batch_size=10,
                report_batch_item_failures=True,
            )
        )
        storage.results.grant_send_messages(self.consumer)
        direct = self._function("Direct", storage, timeout_s=1)
        direct.add_to_role_policy(
            iam.PolicyStatement(actions=["dynamodb:PutItem"], resources=[storage.table.table_arn])
        )
        storage.results.grant_send_messages(direct)
        for schedule, what in (("Tick", "tick"), ("Cron", "cron")):
            events.Rule(
                self,
                schedule,
                schedule=events.Schedule.rate(cdk.Duration.minutes(1))
                if schedule == "Tick"
                else events.Schedule.cron(minute="0", hour="3"),
                targets=[
                    targets.LambdaFunction(
                        direct,
                        event=events.RuleTargetInput.from_object({"do": "send", "body": what}),
                    )
                ],
            )

    def _function(self, name: str, storage: Storage, timeout_s: int) -> lambda_.Function:
        return lambda_.Function(
            self,
            name,
            runtime=lambda_.Runtime.PYTHON_3_13,
            handler=f"handlers.{name.lower()}",
            code=lambda_.Code.from_asset(FUNCTION_CODE),
            timeout=cdk.Duration.seconds(timeout_s),
            memory_size=256,
            environment={
                "RESULTS_URL": storage.results.queue_url,
                "TABLE": storage.table.table_name,
            },
        )


class Workers(cdk.Stack):
    """A Fargate service, and roles to try permissions with."""

    def __init__(self, scope: Construct, name: str, storage: Storage) -> None:
        super().__init__(scope, name)
        vpc = ec2.Vpc(self, "Vpc", max_azs=2, nat_gateways=0)
        cluster = ecs.Cluster(self, "Cluster", vpc=vpc)
        task = ecs.FargateTaskDefinition(self, "Task", cpu=256, memory_limit_mib=512)
        task.add_container(
            "worker",
            image=ecs.ContainerImage.from_registry("public.ecr.aws/docker/library/python:3.13"),
            command=["python", "-m", "sample_worker"],
            environment={"RESULTS_URL": storage.results.queue_url},
            docker_labels={"Owner": "sample"},
        )
        storage.results.grant_send_messages(task.task_role)
        service = ecs.FargateService(
            self,
            "Service",
            cluster=cluster,
            task_definition=task,
            desired_count=0,
            assign_public_ip=True,
        )
        scaling = service.auto_scale_task_count(min_capacity=0, max_capacity=2)
        scaling.scale_on_metric(
            "Backlog",
            metric=storage.work.metric_approximate_number_of_messages_visible(),
            scaling_steps=[
                {"upper": 0, "change": -1},
                {"lower": 1, "change": 1},
            ],
        )
        self._roles(storage)

    def _roles(self, storage: Storage) -> None:
        table = storage.table.table_arn
        uploads = storage.uploads.bucket_arn
        allowed = {
            "Sender": [("sqs:SendMessage", storage.results.queue_arn)],
            "Consumer": [
                ("sqs:ReceiveMessage", storage.results.queue_arn),
                ("sqs:DeleteMessage", storage.results.queue_arn),
                ("sqs:ChangeMessageVisibility", storage.results.queue_arn),
            ],
            "Reader": [
                ("s3:GetObject", f"{uploads}/in/*"),
                ("dynamodb:GetItem", table),
                ("dynamodb:Query", f"{table}/index/attention"),
                ("ssm:GetParameter", storage.parameter.parameter_arn),
            ],
            "Lister": [("s3:GetObject", f"{uploads}/*"), ("s3:ListBucket", uploads)],
            "Writer": [
                ("s3:PutObject", f"{uploads}/in/*"),
                ("dynamodb:PutItem", table),
                ("dynamodb:UpdateItem", table),
                ("dynamodb:BatchWriteItem", table),
            ],
            "Versions": [("s3:GetObjectVersion", f"{uploads}/*")],
            "Nobody": [],
        }
        for name, pairs in allowed.items():
            role = iam.Role(
                self, f"{name}Role", assumed_by=iam.AccountRootPrincipal(), role_name=name
            )
            for action, resource in pairs:
                role.add_to_policy(iam.PolicyStatement(actions=[action], resources=[resource]))


app = cdk.App()
made = Storage(app, "Storage")
Functions(app, "Functions", made)
Workers(app, "Workers", made)
app.synth()
