"""The construct in somebody's own app: with all they bring along, and two systems in one app."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import aws_cdk as cdk
import boto3
import pytest
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3

from remotejob import AccessProblem, Job, RemoteJob
from remotejob.cdk import FunctionsCode, RemoteJobApp, RemoteJobSystem, WorkerImage
from remotejob.cdk.bundle import BundleError
from remotejob.cli.doctor.deployed import Context, checks_of
from remotejob.cli.doctor.findings import Severity, run_checks
from remotejob.domain.errors import SettingsError
from remotejob.local.embedded import EmbeddedAws
from remotejob.names import Part, stack_name
from stacks.system import ROOT
from tests.end_to_end.waiting import PATIENCE, until
from tests.stacks import own_apps
from tests.stacks.own_apps import IMAGE, PROJECT


@pytest.fixture(scope="session")
def brought(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The assembly of an app that brings everything along."""
    folder = tmp_path_factory.mktemp("own")
    own_apps.everything_of_its_own(folder).synth()
    return folder


@pytest.fixture(scope="module")
def aws(brought: Path) -> Iterator[EmbeddedAws]:
    with own_apps.deployed(brought) as embedded:
        yield embedded


@pytest.fixture(scope="module")
def system(aws: EmbeddedAws) -> RemoteJob:
    return RemoteJob.connect("own")


def resources(folder: Path, stack: str, kind: str) -> dict[str, dict[str, Any]]:
    template = json.loads((folder / f"{stack}.template.json").read_text())
    return {
        name: body.get("Properties", {})
        for name, body in template["Resources"].items()
        if body["Type"] == kind
    }


def jobs_of(system: RemoteJob, key: str) -> list[Job]:
    """The jobs of an upload, once they have ended."""

    def ended() -> list[Job]:
        found = [job for job in system.jobs() if job.input is not None and job.input.key == key]
        return found if all(job.ended for job in found) else []

    return until(ended, what=f"the end of a job of {key}")


def test_a_job_goes_through_what_the_app_brought(aws: EmbeddedAws, system: RemoteJob) -> None:
    own_apps.upload(aws, system, "in/a scan.pdf", b"12345")
    (job,) = jobs_of(system, "in/a scan.pdf")
    assert (job.state, job.result) == ("completed", 5)
    submitted = system.queue().submit("size", body=b"123")
    submitted.wait(timeout=PATIENCE)
    assert submitted.result == 3


@pytest.mark.exhaustive
def test_doctor_says_that_it_cannot_see_the_stack_of_somebodys_own(
    aws: EmbeddedAws, system: RemoteJob
) -> None:
    found = run_checks(checks_of(Context(system._installation), local=True))
    assert [(one.severity, one.place) for one in found] == [(Severity.WARNING, "the stacks")]


def test_an_existing_bucket_announces_only_what_a_route_takes(brought: Path) -> None:
    patterns = [
        rule["EventPattern"]
        for rule in resources(brought, "jobs", "AWS::Events::Rule").values()
        if "EventPattern" in rule
    ]
    (found,) = [pattern["detail"]["object"] for pattern in patterns]
    # and what `remotejob deploy` puts there to try the system
    assert found == {"key": [{"prefix": "in/"}, {"prefix": "remotejob-smoke/"}]}


def test_what_was_brought_is_used_and_not_made_again(brought: Path) -> None:
    for kind in ("AWS::EC2::VPC", "AWS::EC2::Subnet", "AWS::ECS::Cluster", "AWS::KMS::Key"):
        assert not resources(brought, "jobs", kind)
    # the outputs and the access logs
    assert len(resources(brought, "jobs", "AWS::S3::Bucket")) == 2
    template = (brought / "platform.template.json").read_text()
    assert "Custom::" not in template
    assert "NotificationConfiguration" in template


def test_workers_are_in_the_private_subnets_without_an_address(brought: Path) -> None:
    (service,) = resources(brought, "jobs", "AWS::ECS::Service").values()
    network = service["NetworkConfiguration"]["AwsvpcConfiguration"]
    assert network["AssignPublicIp"] == "DISABLED"
    assert ["PrivateSubnet" in json.dumps(subnet) for subnet in network["Subnets"]] == [True, True]


def test_all_that_holds_data_has_the_key(brought: Path) -> None:
    (table,) = resources(brought, "jobs", "AWS::DynamoDB::Table").values()
    assert "KMSMasterKeyId" in table["SSESpecification"]
    queues = resources(brought, "jobs", "AWS::SQS::Queue")
    assert queues
    assert all("KmsMasterKeyId" in queue for queue in queues.values())
    encrypted = [
        bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"][0]
        for name, bucket in resources(brought, "jobs", "AWS::S3::Bucket").items()
        if "Logs" not in name
    ]
    assert [rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] for rule in encrypted] == [
        "aws:kms"
    ]


def test_each_role_that_touches_data_may_use_the_key(brought: Path) -> None:
    allowed = {
        name
        for name, policy in resources(brought, "jobs", "AWS::IAM::Policy").items()
        if "kms:Decrypt" in json.dumps(policy)
    }
    policies = set(resources(brought, "jobs", "AWS::IAM::Policy"))
    # the agent pulls images, and scaling changes services
    others = {name for name in policies if "Agent" in name or "SchedulerScales" in name}
    assert allowed == policies - others


def test_each_role_of_the_system_has_the_boundary_and_the_path(brought: Path) -> None:
    roles = resources(brought, "jobs", "AWS::IAM::Role")
    ours = {name: role for name, role in roles.items() if name.startswith("Jobs")}
    assert len(ours) == 4
    for role in ours.values():
        assert role["Path"] == "/teams/scans/"
        assert "PermissionsBoundary" in role
    for role in (role for name, role in roles.items() if name not in ours):
        assert "Path" not in role
        assert "PermissionsBoundary" not in role


@pytest.fixture(scope="module")
def become(aws: EmbeddedAws) -> Callable[[str], RemoteJob]:
    """Connect with a role of the app's own."""

    def connect(name: str) -> RemoteJob:
        arn = aws.deployment.outputs["jobs"][f"{name.title()}Role"]
        credentials = aws.client("sts").assume_role(RoleArn=arn, RoleSessionName="somebody")
        found = credentials["Credentials"]
        session = boto3.Session(
            aws_access_key_id=found["AccessKeyId"],
            aws_secret_access_key=found["SecretAccessKey"],
            aws_session_token=found["SessionToken"],
            region_name=aws.region,
        )
        return RemoteJob.connect("own", session=session)

    return connect


def _submit(system: RemoteJob, _: Job) -> None:
    system.queue().submit("size", body=b"1")


def _read(system: RemoteJob, job: Job) -> None:
    system.job(job.id)


def _manage(system: RemoteJob, job: Job) -> None:
    system.job(job.id).pause()


def _work(system: RemoteJob, _: Job) -> None:
    # nothing is due with it: what matters is that it may look
    system.queue().get_work(["size"], max_jobs=1)


@pytest.mark.parametrize(
    ("role", "may"),
    [
        ("submit", {"submit", "read"}),
        ("read", {"read"}),
        ("manage", {"read", "manage"}),
        # a worker changes records, and IAM does not see which change it is
        ("work", {"read", "work", "manage"}),
    ],
)
def test_a_granted_role_may_do_this_and_no_more(
    become: Callable[[str], RemoteJob], system: RemoteJob, role: str, may: set[str]
) -> None:
    job = system.queue().submit("size", body=b"1", delay=timedelta(hours=1))
    deeds = {"submit": _submit, "read": _read, "manage": _manage, "work": _work}
    found = set()
    for name, deed in deeds.items():
        try:
            deed(become(role), job)
        except AccessProblem:
            continue
        found.add(name)
    assert found == may
    system.job(job.id).cancel()


def test_every_figure_is_of_the_system_and_its_queue(brought: Path) -> None:
    (dashboard,) = resources(brought, "jobs", "AWS::CloudWatch::Dashboard").values()
    body = "".join(
        part if isinstance(part, str) else "…" for part in dashboard["DashboardBody"]["Fn::Join"][1]
    )
    for name in (
        "Completed",
        "Failed",
        "Retried",
        "SecondsQueued",
        "SecondsRunning",
        "Paused",
        "Workers",
    ):
        assert f'"remotejob","{name}","Queue","default","System","own"' in body
    for name in (
        "ApproximateNumberOfMessagesVisible",
        "ApproximateNumberOfMessagesNotVisible",
        "ApproximateAgeOfOldestMessage",
        "UnreadableItems",
    ):
        assert name in body


@pytest.mark.exhaustive
def test_two_systems_in_one_app_are_deployed_and_kept_apart(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("two")
    own_apps.two_systems(folder).synth()
    with own_apps.deployed(folder) as aws:
        one, other = RemoteJob.connect("own"), RemoteJob.connect("other")
        assert one.input_bucket != other.input_bucket
        own_apps.upload(aws, one, "in/one.txt", b"1")
        own_apps.upload(aws, other, "in/other.txt", b"12")
        assert [job.result for job in jobs_of(one, "in/one.txt")] == [1]
        assert [job.result for job in jobs_of(other, "in/other.txt")] == [2]
        assert len(list(one.jobs())) == len(list(other.jobs())) == 1


@pytest.mark.exhaustive
def test_two_systems_fit_into_one_stack(tmp_path: Path) -> None:
    own_apps.one_stack(tmp_path).synth()
    assert [file.name for file in tmp_path.glob("*.template.json")] == ["all.template.json"]
    parameters = resources(tmp_path, "all", "AWS::SSM::Parameter").values()
    assert {each["Name"] for each in parameters if each["Name"].count("/") == 2} == {
        "/remotejob/own",
        "/remotejob/other",
    }


def test_a_stage_gets_its_own_stacks(tmp_path: Path) -> None:
    app = RemoteJobApp(PROJECT, outdir=tmp_path)
    stage = cdk.Stage(app, "Test")
    RemoteJobSystem(stage, "Jobs", settings=app.settings, worker=IMAGE)
    made = {stack.stack_name for stack in app.synth().get_nested_assembly("assembly-Test").stacks}
    assert made == {f"Test-{stack_name('own', part)}" for part in Part}


def test_a_folder_without_a_dockerfile_is_named(tmp_path: Path) -> None:
    app = RemoteJobApp(PROJECT, outdir=tmp_path)
    image = WorkerImage(folder=tmp_path, dockerfile="Docker file")
    with pytest.raises(SettingsError, match=r"Docker file: no such file; .*remotejob init"):
        RemoteJobSystem(app, "Jobs", settings=app.settings, worker=image)


def test_a_principal_without_a_policy_cannot_be_granted_anything(tmp_path: Path) -> None:
    app = RemoteJobApp(PROJECT, outdir=tmp_path)
    system = RemoteJobSystem(app, "Jobs", settings=app.settings, worker=IMAGE)
    with pytest.raises(SettingsError, match="AccountPrincipal has no policy of its own"):
        system.grant_read(iam.AccountPrincipal("123456789012"))


def test_a_queue_that_is_not_there_is_named_with_those_that_are(tmp_path: Path) -> None:
    app = RemoteJobApp(PROJECT, outdir=tmp_path)
    system = RemoteJobSystem(app, "Jobs", settings=app.settings, worker=IMAGE)
    role = iam.Role(
        system.node.root.node.find_child("remotejob-own-storage"),  # type: ignore[arg-type]
        "Role",
        assumed_by=iam.AccountRootPrincipal(),
    )
    with pytest.raises(SettingsError, match=r"queue='video'.* default"):
        system.grant_work(role, queue="video")
    with pytest.raises(SettingsError, match=r"queue='video'.* default"):
        system.metric_backlog("video")


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "no such file"), ("{", "not JSON"), ("[]", "no object with a `context`")],
)
def test_a_cdk_json_that_cannot_be_read_is_said_in_one_line(
    tmp_path: Path, content: str | None, said: str
) -> None:
    if content is not None:
        (tmp_path / "cdk.json").write_text(content)
    with pytest.raises(SettingsError, match=said) as caught:
        RemoteJobApp(tmp_path)
    assert str(tmp_path / "cdk.json") in str(caught.value)
    assert "\n" not in str(caught.value)


ENV = cdk.Environment(account="111122223333", region="eu-west-1")


def test_stacks_with_an_account_and_region_share_what_they_have(tmp_path: Path) -> None:
    app = RemoteJobApp(PROJECT, outdir=tmp_path)
    platform = cdk.Stack(app, "platform", env=ENV)
    vpc = ec2.Vpc(platform, "Vpc", max_azs=2, restrict_default_security_group=False)
    vpc.add_flow_log("Flow")
    RemoteJobSystem(app, "Jobs", settings=app.settings, worker=IMAGE, vpc=vpc, env=ENV)
    workers = app.synth().get_stack_by_name("remotejob-own-workers")
    assert workers.environment.name == "aws://111122223333/eu-west-1"
    (service,) = resources(tmp_path, "remotejob-own-workers", "AWS::ECS::Service").values()
    assert "platform:" in json.dumps(service["NetworkConfiguration"])


def test_the_zones_of_a_network_of_ours_are_the_deployments(tmp_path: Path) -> None:
    app = RemoteJobApp(PROJECT, outdir=tmp_path)
    RemoteJobSystem(app, "Jobs", settings=app.settings, worker=IMAGE, env=ENV)
    app.synth()
    zones = [
        subnet["AvailabilityZone"]
        for subnet in resources(tmp_path, "remotejob-own-workers", "AWS::EC2::Subnet").values()
    ]
    assert zones == [{"Fn::Select": [zone, {"Fn::GetAZs": ""}]} for zone in (0, 1)]


def imported_vpc(stack: cdk.Stack, name: str) -> ec2.IVpc:
    return ec2.Vpc.from_vpc_attributes(
        stack,
        name,
        vpc_id=f"vpc-{name}",
        availability_zones=["eu-west-1a"],
        private_subnet_ids=[f"subnet-{name}"],
    )


def test_workers_run_in_the_vpc_that_is_given_though_the_cluster_has_another(
    tmp_path: Path,
) -> None:
    stack = cdk.Stack(cdk.App(outdir=str(tmp_path)), "jobs")
    cluster = ecs.Cluster.from_cluster_attributes(
        stack, "Cluster", cluster_name="ours", vpc=imported_vpc(stack, "1"), security_groups=[]
    )
    RemoteJobSystem(
        stack,
        "Jobs",
        settings=PROJECT / "remotejob.toml",
        worker=IMAGE,
        cluster=cluster,
        vpc=imported_vpc(stack, "2"),
    )
    cdk.App.of(stack).synth()  # type: ignore[union-attr]
    (service,) = resources(tmp_path, "jobs", "AWS::ECS::Service").values()
    assert service["NetworkConfiguration"]["AwsvpcConfiguration"]["Subnets"] == ["subnet-2"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"role_path": "teams"}, r"role_path = 'teams': begin and end it with a slash"),
        ({"role_path": "/team s/"}, "no spaces"),
        ({"vpc_subnets": ec2.SubnetSelection(one_per_az=True)}, "give vpc or cluster, too"),
        ({"env": ENV}, "env: in a stack of yours, give it to that stack"),
    ],
    ids=lambda value: "" if isinstance(value, dict) else value,
)
def test_what_could_not_be_deployed_is_refused(
    tmp_path: Path, options: dict[str, Any], said: str
) -> None:
    app = RemoteJobApp(PROJECT, outdir=tmp_path)
    with pytest.raises(SettingsError, match=said):
        RemoteJobSystem(
            cdk.Stack(app, "jobs"), "Jobs", settings=app.settings, worker=IMAGE, **options
        )


def test_names_that_are_known_when_it_is_deployed_are_acknowledged(tmp_path: Path) -> None:
    app = RemoteJobApp(PROJECT, outdir=tmp_path)
    stack = cdk.Stack(app, "jobs")
    shared = cdk.Fn.split(",", cdk.Fn.import_value(cdk.Fn.sub("${AWS::Region}-shared")))
    RemoteJobSystem(
        stack,
        "Jobs",
        settings=app.settings,
        worker=IMAGE,
        input_bucket=s3.Bucket.from_bucket_name(stack, "In", cdk.Fn.sub("files-${AWS::AccountId}")),
        output_bucket=s3.Bucket.from_bucket_name(stack, "Out", cdk.Fn.select(0, shared)),
        cluster=ecs.Cluster.from_cluster_attributes(
            stack,
            "Cluster",
            cluster_name=cdk.Fn.select(1, shared),
            vpc=imported_vpc(stack, "1"),
            security_groups=[],
        ),
    )
    app.synth()


def test_a_prefix_that_no_finding_can_name_is_refused(tmp_path: Path) -> None:
    settings = tmp_path / "remotejob.toml"
    text = (PROJECT / "remotejob.toml").read_text()
    settings.write_text(text.replace('prefix = "in/"', 'prefix = "scans (old/"'))
    app = RemoteJobApp(PROJECT, outdir=tmp_path / "out")
    with pytest.raises(SettingsError, match=r"\[queues.default\].*'scans \(old/'.*in pairs"):
        RemoteJobSystem(app, "Jobs", settings=settings, worker=IMAGE)
    settings.write_text(text.replace('prefix = "in/"', 'prefix = "scans (old) [1]/"'))
    app = RemoteJobApp(PROJECT, outdir=tmp_path / "other")
    RemoteJobSystem(app, "Jobs", settings=settings, worker=IMAGE)
    app.synth()


def test_a_policy_can_be_granted_to(tmp_path: Path) -> None:
    app = RemoteJobApp(PROJECT, outdir=tmp_path)
    stack = cdk.Stack(app, "jobs")
    system = RemoteJobSystem(stack, "Jobs", settings=app.settings, worker=IMAGE)
    policy = iam.ManagedPolicy(stack, "People")
    system.grant_read(policy)
    app.synth()
    (granted,) = (
        body
        for name, body in resources(tmp_path, "jobs", "AWS::IAM::ManagedPolicy").items()
        if name.startswith("People")
    )
    assert "dynamodb:Query" in json.dumps(granted["PolicyDocument"])


def test_a_grant_to_another_account_is_refused(tmp_path: Path) -> None:
    stack = cdk.Stack(RemoteJobApp(PROJECT, outdir=tmp_path), "jobs", env=ENV)
    system = RemoteJobSystem(stack, "Jobs", settings=PROJECT / "remotejob.toml", worker=IMAGE)
    ours = iam.Role.from_role_arn(stack, "Ours", "arn:aws:iam::111122223333:role/ours")
    theirs = iam.Role.from_role_arn(stack, "Theirs", "arn:aws:iam::444455556666:role/theirs")
    for grant in (system.grant_submit, system.grant_read, system.grant_manage, system.grant_work):
        grant(ours)
        with pytest.raises(
            SettingsError, match="account 444455556666: the system is in account 11"
        ):
            grant(theirs)


@pytest.mark.parametrize(
    ("folder", "said"),
    [
        ("nowhere", r"nowhere/on_upload\.py: no such file; write it"),
        ("one_half", r"one_half/scheduler\.py: no such file; write it"),
        ("my-handlers", r"my-handlers'\): the folder's name is the package's"),
        ("remotejob", "and not remotejob"),
        (".", r"FunctionsCode\(folder='.*the folder's name is the package's"),
    ],
)
def test_handlers_that_no_function_could_start_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one_half").mkdir()
    (tmp_path / "one_half" / "on_upload.py").write_text("")
    app = RemoteJobApp(PROJECT, outdir=tmp_path / "out")
    with pytest.raises(BundleError, match=said):
        RemoteJobSystem(
            app,
            "Jobs",
            settings=app.settings,
            worker=IMAGE,
            functions=FunctionsCode(folder=Path(folder)),
        )


@pytest.mark.exhaustive
def test_the_examples_of_the_page_make_what_they_say() -> None:
    page = (ROOT / "docs" / "how-to" / "own-app.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names: dict[str, Any] = {"__file__": str(PROJECT / "app.py"), "__name__": "page"}
    exec(compile(blocks[0], "own-app.md", "exec"), names)  # noqa: S102
    assert [stack.stack_name for stack in names["app"].synth().stacks] == [
        "remotejob-own-storage",
        "remotejob-own-functions",
        "remotejob-own-workers",
    ]
    for block in blocks[1:]:
        exec(compile(block, "own-app.md", "exec"), names)  # noqa: S102
    app = RemoteJobApp(PROJECT)
    platform = cdk.Stack(app, "platform")
    files = s3.Bucket.from_bucket_name(platform, "Files", "files-of-ours")
    vpc = ec2.Vpc.from_vpc_attributes(
        platform,
        "Vpc",
        vpc_id="vpc-1",
        availability_zones=["eu-west-1a"],
        public_subnet_ids=["subnet-1"],
    )
    jobs = names["Jobs"](app, files, vpc)
    names["alarm"](jobs)
    RemoteJobSystem(app, "Nightly", settings=names["for_stage"]("nightly"), worker=IMAGE)
    assembly = app.synth()
    assert "remotejob-nightly-storage" in [stack.stack_name for stack in assembly.stacks]
    template = assembly.get_stack_by_name("jobs").template
    (service,) = (r for r in template["Resources"].values() if r["Type"] == "AWS::ECS::Service")
    network = service["Properties"]["NetworkConfiguration"]["AwsvpcConfiguration"]
    assert (network["AssignPublicIp"], network["Subnets"]) == ("ENABLED", ["subnet-1"])
    assert "files-of-ours" in json.dumps(template["Resources"])
