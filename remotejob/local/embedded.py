"""AWS on this machine, for the duration of a `with` block.

    with EmbeddedAws() as aws:
        aws.deploy(Path("cdk.out"))
        worker = aws.start_worker()
        aws.client("s3").upload_file("photo.jpg", bucket, "photo.jpg")

Everything it starts is a child of one server process. The server ends when this process ends, even
if it is killed. It listens only on the loopback interface.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from botocore.config import Config

from remotejob.local import (
    assembly,
    clients,
    code_update,
    kept_logs,
    private_files,
    server_process,
    workers,
)
from remotejob.local.control import Control
from remotejob.local.deployment import Deployment
from remotejob.local.deployment import deploy as deploy_assembly
from remotejob.local.errors import (
    ControlError,
    DeploymentFailed,
    FunctionFailed,
    InvalidAssembly,
    StateUnusable,
)
from remotejob.local.keeping.folder import Begin
from remotejob.local.keeping.kept import Kept
from remotejob.local.services import Counts, Services

_LOAD_TIMEOUT_S: Final = 600.0
"""For putting back kept data: a hundred thousand records take under a minute."""


class EmbeddedAws:
    """The embedded AWS, its deployed stacks and its workers."""

    def __init__(
        self,
        *,
        state: Path | None = None,
        cache: Path | None = None,
        keep: Path | None = None,
        begin: Begin = Begin.KEPT,
        account: str = assembly.DEFAULT_ACCOUNT,
        region: str = assembly.DEFAULT_REGION,
        port: int = 0,
        counts: Counts = Counts.IGNORED,
        verbose: bool = False,
    ) -> None:
        """`state` is the folder for logs and code, which becomes private (mode 700); default: a
        temporary folder, removed at the end.

        `cache` keeps packed assets between runs; default: a folder in `state`.

        `keep` is a folder for what the tables, buckets and queues of the templates hold, for the
        port and for the administrator's keys: the next start with that folder has them again, or
        `begin`s without the data. It becomes private, too. Default: nothing outlives the block.

        `counts` says whether ECS services start and stop workers as their desired counts say.
        """
        self._own_state = state is None
        self._state = state
        self._cache = cache
        self._keep, self._begin = keep, begin
        self.kept: Kept | None = None
        """What `deploy` found among the data kept from earlier starts."""
        self.notes: list[str] = []
        """What to tell the user about kept data, a line each: grows at the start, and in `deploy`.
        """
        self._account, self.region = account, region
        self._port, self._counts, self._verbose = port, counts, verbose
        self._process: subprocess.Popen[bytes] | None = None
        self._deployment: Deployment | None = None
        self.deployed_from: Path | None = None
        """The assembly that is deployed; `update` may need it again."""

    @classmethod
    def for_assembly(cls, folder: Path, **options: Any) -> Self:
        """An embedded AWS for the account and region of an assembly; `options` as in `__init__`.

        Raises: InvalidAssembly.
        """
        read = assembly.read(folder)
        return cls(account=read.account, region=read.region, **options)

    def __enter__(self) -> Self:
        """Start the server.

        Raises: ServerFailed; NotPrivate, for the folder `state`; StateUnusable, when the folder
        `keep` is in use, damaged, of another version or not private.
        """
        state = self._state or Path(tempfile.mkdtemp(prefix="remotejob-"))
        private_files.make_folder(state)
        self.state = state.resolve()
        if self._keep is not None:
            kept_logs.tidy(self.logs)
        try:
            ready = self._start()
        except BaseException:
            self.stop()
            raise
        self.endpoint_url: str = ready["endpoint_url"]
        self._note_port(ready["port_before"])
        self._keys = (ready["access_key_id"], ready["secret_access_key"])
        self._control = Control(endpoint_url=self.endpoint_url, token=ready["control_token"])
        self._session = clients.make_session(self.environment())
        self._clients: dict[str, Any] = {}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop the server and everything it started. Calling it again does nothing."""
        process, self._process = self._process, None
        if process is not None:
            server_process.stop(process)
        if self._own_state and hasattr(self, "state"):
            shutil.rmtree(self.state, ignore_errors=True)

    def has_ended(self) -> bool:
        """Whether the server has ended although nobody stopped it."""
        return self._process is not None and server_process.has_ended(self._process)

    # --- inspect ---------------------------------------------------------------------------------

    @property
    def logs(self) -> Path:
        """The folder with the logs: `<function>.log`, `worker-<n>.log`, `server.log`."""
        return self.state / "logs"

    @property
    def deployment(self) -> Deployment:
        """What is deployed. Raises: RuntimeError, before `deploy`."""
        if self._deployment is None:
            raise RuntimeError("nothing is deployed yet: call deploy() first")
        return self._deployment

    @property
    def services(self) -> Services:
        """The ECS services. Raises: RuntimeError, when their counts are not obeyed."""
        if self._counts is not Counts.OBEYED:
            raise RuntimeError("desired counts are ignored here: give counts=Counts.OBEYED")
        return Services(self._control)

    def environment(self) -> dict[str, str]:
        """Variables that let boto3, the AWS CLI and `remotejob` use it as administrator."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint_url,
            "AWS_ACCESS_KEY_ID": self._keys[0],
            "AWS_SECRET_ACCESS_KEY": self._keys[1],
            "AWS_REGION": self.region,
            "AWS_DEFAULT_REGION": self.region,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": "127.0.0.1,localhost",
        }

    def client(self, service: str, *, config: Config | None = None) -> Any:
        """A boto3 client with the administrator's credentials."""
        if config is not None:
            return self._make_client(service, config)
        if service not in self._clients:
            self._clients[service] = self._make_client(service, None)
        return self._clients[service]

    def client_as(self, role_arn: str, service: str) -> Any:
        """A boto3 client with the permissions of a role, which the administrator must be able to
        assume."""
        assumed = self.client("sts").assume_role(RoleArn=role_arn, RoleSessionName="as")
        credentials = assumed["Credentials"]
        session = clients.make_session(
            {
                "AWS_ACCESS_KEY_ID": credentials["AccessKeyId"],
                "AWS_SECRET_ACCESS_KEY": credentials["SecretAccessKey"],
                "AWS_SESSION_TOKEN": credentials["SessionToken"],
                "AWS_REGION": self.region,
            }
        )
        return clients.make_client(session, service, endpoint_url=self.endpoint_url)

    def save_trouble(self) -> str | None:
        """Why changes of kept data cannot be saved for now; None if they can, or none are kept."""
        if self._keep is None:
            return None
        trouble: str | None = self._control.get("keep")
        return trouble

    def requests(self) -> dict[tuple[str, str, str], int]:
        """Request counts since the last reset, by service, operation and name of role or user."""
        counts = self._control.get("requests")
        return {(service, operation, role): n for service, operation, role, n in counts}

    def accesses(self) -> dict[tuple[str, str], int]:
        """How often policies allowed an action since the last reset, by action and name of role."""
        return {(action, role): n for action, role, n in self._control.get("accesses")}

    def receives_with_messages(self) -> dict[str, int]:
        """How many receives brought a message since the last reset, by name of role or user.

        All other receives that `requests` counts were polls of an empty queue, or still are.
        """
        return dict(self._control.get("receives"))

    def units(self) -> dict[tuple[str, str], float]:
        """DynamoDB's units since the last reset, by kind and name of the role or user.

        The kinds are "write units", "read units" and "index writes". Queries and scans do not
        count.
        """
        return {(kind, role): n for kind, role, n in self._control.get("units")}

    def fail(self, *services: str) -> None:
        """Make services, such as "dynamodb", answer "unavailable"; call without any to end it.

        "credentials" makes the credentials of every role expired.
        """
        self._control.post("failing", services)

    def reset_requests(self) -> None:
        """Reset the counts of requests and units to zero."""
        self._control.post("requests")

    # --- act -------------------------------------------------------------------------------------

    def deploy(self, folder: Path) -> Deployment:
        """Deploy a cloud assembly.

        Raises: InvalidAssembly; DeploymentFailed, with the failed events of the stack;
        StateUnusable, when kept data cannot be read.
        """
        read = assembly.read(folder)
        self._check_place(read, folder)
        cache = self._cache or self.state / "assets"
        private_files.make_folder(cache)
        self._deployment = deploy_assembly(read, client=self.client, cache=cache)
        if self._keep is not None:
            self.kept = self._put_back(self._deployment)
            self.notes += self.kept.lines()
        self.deployed_from = folder
        return self._deployment

    def update(self, folder: Path) -> Deployment:
        """Replace the deployed stacks by those of another assembly; kept data stay.

        Workers give back their jobs and end, as in `stop`: start them again. If the new stacks
        cannot be created, the old ones are deployed again before the error is raised; their
        assembly must still be there.
        Raises: as `deploy`; RuntimeError, when nothing is deployed, or no data are kept.
        """
        before = self.deployed_from
        if self._keep is None or before is None:
            raise RuntimeError("only a deployed AWS that keeps its data can be updated")
        self._check_place(assembly.read(folder), folder)
        self._start_again()
        try:
            deployed = self.deploy(folder)
        except DeploymentFailed:
            self._start_again()
            self.deploy(before)
            raise
        assert self.kept is not None
        # that the rest was put back goes without saying: nothing has ended
        self.notes[:] = self.kept.warnings()
        return deployed

    def update_code(self, folder: Path) -> int | None:
        """Give the deployed functions the code of another assembly; return how many have new code.

        None, and nothing is updated, if its templates differ in more than that: see `update`.
        Raises: InvalidAssembly; RuntimeError, when nothing is deployed.
        """
        if self.deployed_from is None:
            raise RuntimeError("nothing is deployed yet: call deploy() first")
        before, after = assembly.read(self.deployed_from), assembly.read(folder)
        if not code_update.differ_in_code_alone(before, after):
            return None
        updated = code_update.update_code(
            before,
            after,
            deployed=self.deployment,
            client=self.client,
            cache=self._cache or self.state / "assets",
        )
        self.deployed_from = folder
        return updated

    def start_worker(
        self,
        service: str | None = None,
        *,
        command: Sequence[str] = workers.DEFAULT_COMMAND,
        environment: Mapping[str, str] | None = None,
        directory: Path | None = None,
    ) -> workers.Worker:
        """Start a worker of a deployed ECS service; you may omit the name if there is only one.

        Raises: UnknownResource; NoTaskRole; SecretNotRead; ControlError, when it cannot be started.
        """
        wanted = self.deployment.one("AWS::ECS::Service", service).physical_id
        task = next(
            t
            for t in workers.tasks(self.deployment, self.client)
            if t.service == wanted.rpartition("/")[2]
        )
        return workers.start(
            task,
            control=self._control,
            region=self.region,
            state=self.state,
            command=command,
            environment=environment,
            directory=directory,
        )

    def invoke(self, function: str, payload: Any = None) -> Any:
        """Invoke a function and return its result; name it by ARN or as in `Deployment.one`.

        Raises: FunctionFailed; UnknownResource.
        """
        name = function
        if not function.startswith("arn:"):
            name = self.deployment.one("AWS::Lambda::Function", function).physical_id
        # An invocation may outlast boto3's default timeout, and must not be retried.
        patient = Config(read_timeout=910, retries={"total_max_attempts": 1})
        client = self.client("lambda", config=patient)
        answer = client.invoke(FunctionName=name, Payload=json.dumps(payload).encode())
        result = json.loads(answer["Payload"].read())
        if "FunctionError" in answer:
            raise FunctionFailed(result)
        return result

    def fire_schedule(self, rule: str) -> None:
        """Fire a scheduled rule now; name it by ARN or as in `Deployment.one`."""
        if not rule.startswith("arn:"):
            rule = self.deployment.one("AWS::Events::Rule", rule).physical_id
        self._control.post("schedules", {"rule": rule})

    def _make_client(self, service: str, config: Config | None) -> Any:
        return clients.make_client(
            self._session, service, endpoint_url=self.endpoint_url, config=config
        )

    def _check_place(self, read: assembly.Assembly, folder: Path) -> None:
        if (read.account, read.region) != (self._account, self.region):
            raise InvalidAssembly(
                f"{folder} is for account {read.account} in {read.region}, but this embedded AWS "
                f"is {self._account} in {self.region}; use EmbeddedAws.for_assembly"
            )

    def _start_again(self) -> None:
        self.stop()
        self._begin = Begin.KEPT
        self.notes.clear()
        self.__enter__()

    def _put_back(self, deployment: Deployment) -> Kept:
        holders = {
            "tables": [r.physical_id for r in deployment.all("AWS::DynamoDB::Table")],
            "buckets": [r.physical_id for r in deployment.all("AWS::S3::Bucket")],
            "queues": [r.physical_id.rpartition("/")[2] for r in deployment.all("AWS::SQS::Queue")],
        }
        try:
            found = self._control.post("keep", holders, timeout_s=_LOAD_TIMEOUT_S)
        except ControlError as problem:
            raise StateUnusable(str(problem)) from None
        return Kept.from_json(found)

    def _note_port(self, before: str) -> None:
        port = self.endpoint_url.rpartition(":")[2]
        if before and before != port and not self._port:
            self.notes.append(
                f"port {before} of the last start is in use by another program, so this one "
                f"has port {port}: other shells need the variables below again"
            )

    def _start(self) -> dict[str, str]:
        options = ["--port", str(self._port), "--state", str(self.state)]
        options += ["--account", self._account, "--region", self.region]
        if self._keep is not None:
            options += ["--keep", str(self._keep.resolve()), "--begin", self._begin.value]
        options += ["--services"] if self._counts is Counts.OBEYED else []
        options += ["--verbose"] if self._verbose else []
        private_files.make_folder(self.logs)
        startup_log = self.logs / "server.stderr.log"
        self._process = server_process.start(options, startup_log)
        return server_process.wait_until_ready(self._process, startup_log)
