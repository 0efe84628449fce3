"""Run deployed Lambda functions in warm subprocesses, with the credentials of their own role.

What moto does: it starts a Docker container for each invocation, with made-up credentials.
What AWS does: Lambda Developer Guide, "Lambda execution environment lifecycle": an environment is
kept warm, serves one invocation at a time, and is discarded after a timeout or a crash.

Limits: only Python runtimes, run by the Python of this process; at most two environments per
function; a failed asynchronous invocation is logged and not retried.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import logging
import os
import re
import select
import subprocess
import sys
import threading
import time
import uuid
import zipfile
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from moto.awslambda.models import LambdaFunction, lambda_backends

from remotejob.local import private_files
from remotejob.local.access import identity

_LOG = logging.getLogger(__name__)
_BOOTSTRAP = Path(__file__).with_name("function_bootstrap.py")
_INIT_TIMEOUT_S: Final = 30.0
_MAX_ENVIRONMENTS: Final = 2
_LIFE: Final = timedelta(days=365)
"""Of a function's credentials: nobody renews those of a warm environment."""
_UNUSUAL: Final = re.compile(r"[^A-Za-z0-9_-]")
"""What no name of a function has on AWS."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """The result of an invocation. If it `failed`, the payload describes the error."""

    payload: bytes
    failed: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """Where functions keep files, and the endpoint and account they use."""

    endpoint_url: str
    state: Path
    account: str


class _Crashed(Exception):
    """The process ended before it answered."""


def _error(kind: str, message: str) -> Outcome:
    document = {"errorMessage": message, "errorType": kind, "stackTrace": []}
    return Outcome(payload=json.dumps(document).encode(), failed=True)


class _Environment:
    """One warm process of one function."""

    def __init__(self, command: list[str], environment: dict[str, str], log: Path) -> None:
        their_read, our_write = os.pipe()
        our_read, their_write = os.pipe()
        with private_files.open_log(log) as output:
            self._process = subprocess.Popen(  # noqa: S603  (code that was deployed)
                [*command, str(their_read), str(their_write)],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(their_read, their_write),
                start_new_session=True,
            )
        os.close(their_read)
        os.close(their_write)
        self._requests = os.fdopen(our_write, "w", encoding="utf-8")
        self._answers = our_read
        self._buffer = b""

    def initialise(self) -> dict[str, Any]:
        """Wait for the handler to be imported.

        Raises: TimeoutError; _Crashed, when the process ends.
        """
        return self._read(_INIT_TIMEOUT_S)

    def invoke(self, request: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        """Send one event and wait for the answer. Raises: TimeoutError; _Crashed."""
        try:
            self._requests.write(json.dumps(request) + "\n")
            self._requests.flush()
        except OSError as error:
            raise _Crashed(self._how_it_ended()) from error
        return self._read(timeout_s)

    def close(self) -> None:
        """Kill the process and everything it started."""
        if self._process.poll() is None:
            try:
                os.killpg(self._process.pid, 9)
            except (ProcessLookupError, PermissionError):
                self._process.kill()
        self._process.wait()
        with contextlib.suppress(OSError):  # it may have ended before reading a request
            self._requests.close()
        os.close(self._answers)

    def _read(self, timeout_s: float) -> dict[str, Any]:
        end = time.monotonic() + timeout_s
        while b"\n" not in self._buffer:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self._answers], [], [], left)[0]:
                raise TimeoutError
            received = os.read(self._answers, 1 << 20)
            if not received:
                raise _Crashed(self._how_it_ended())
            self._buffer += received
        line, _, self._buffer = self._buffer.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _how_it_ended(self) -> str:
        code = self._process.wait()
        return f"signal: {-code}" if code < 0 else f"exit status {code}"


@dataclass(kw_only=True)
class _Pool:
    """The environments of one version of one function's code and configuration."""

    version: str
    places: threading.Semaphore = field(
        default_factory=lambda: threading.Semaphore(_MAX_ENVIRONMENTS)
    )
    idle: list[_Environment] = field(default_factory=list)
    busy: list[_Environment] = field(default_factory=list)
    retired: bool = False


class Functions:
    """The environments of all functions."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._extracting = threading.Lock()
        self._pools: dict[str, _Pool] = {}
        self._closed = False

    def invoke(self, function: LambdaFunction, event: Any) -> Outcome:
        """Run the function on an event and wait for the outcome."""
        if not str(function.run_time).startswith("python"):
            return _error(
                "Runtime.Unsupported",
                f"{function.function_name} needs {function.run_time}, but the embedded AWS only "
                "runs Python functions",
            )
        pool = self._pool(function)
        with pool.places:
            return self._invoke(function, pool, event)

    def close(self) -> None:
        """Kill all environments."""
        with self._lock:
            self._closed = True
            pools, self._pools = list(self._pools.values()), {}
            environments = [e for pool in pools for e in (*pool.idle, *pool.busy)]
        for environment in environments:
            environment.close()

    @property
    def endpoint_url(self) -> str:
        """The endpoint that functions use."""
        return self._settings.endpoint_url

    def log_path(self, name: str) -> Path:
        """The log file of a function."""
        return self._settings.state / "logs" / f"{_UNUSUAL.sub('_', name)}.log"

    def _invoke(self, function: LambdaFunction, pool: _Pool, event: Any) -> Outcome:
        request_id = str(uuid.uuid4())
        with self._lock:
            environment = pool.idle.pop() if pool.idle else None
            if environment is not None:
                pool.busy.append(environment)
        healthy = False
        try:
            if environment is None:
                environment = self._start(function, pool)
                if "init_error" in (ready := environment.initialise()):
                    payload = json.dumps(ready["init_error"]).encode()
                    return Outcome(payload=payload, failed=True)
            request = {
                "id": request_id,
                "event": event,
                "arn": function.function_arn,
                "timeout_ms": int(function.timeout) * 1000,
            }
            answer = environment.invoke(request, float(function.timeout))
            healthy = True
            if "error" in answer:
                return Outcome(payload=json.dumps(answer["error"]).encode(), failed=True)
            return Outcome(payload=answer["result"].encode(), failed=False)
        except identity.NotTrusted as error:
            return _error("InvalidParameterValueException", str(error))
        except TimeoutError:
            seconds = f"{float(function.timeout):.2f}"
            return _error(
                "Sandbox.Timedout",
                f"RequestId: {request_id} Error: Task timed out after {seconds} seconds",
            )
        except _Crashed as crash:
            return _error(
                "Runtime.ExitError",
                f"RequestId: {request_id} Error: Runtime exited with error: {crash}",
            )
        finally:
            if environment is not None:
                self._give_back(pool, environment, healthy=healthy)

    def _give_back(self, pool: _Pool, environment: _Environment, *, healthy: bool) -> None:
        with self._lock:
            if self._closed:
                return  # `close` already killed it
            if environment in pool.busy:
                pool.busy.remove(environment)
            keep = healthy and not pool.retired
            if keep:
                pool.idle.append(environment)
        if not keep:
            environment.close()

    def _pool(self, function: LambdaFunction) -> _Pool:
        configuration = (
            function.code_sha_256,
            function.handler,
            function.role,
            function.memory_size,
            function.environment_vars,
        )
        version = hashlib.sha256(repr(configuration).encode()).hexdigest()
        with self._lock:
            pool = self._pools.get(function.function_arn)
            if pool is not None and pool.version == version:
                return pool
            self._pools[function.function_arn] = fresh = _Pool(version=version)
            outdated = []
            if pool is not None:
                pool.retired = True
                outdated, pool.idle = pool.idle, []
        for environment in outdated:
            environment.close()
        return fresh

    def _start(self, function: LambdaFunction, pool: _Pool) -> _Environment:
        root = self._extracted(function)
        credentials = identity.assume_as_service(
            self._settings.account,
            function.region,
            function.role,
            service="lambda.amazonaws.com",
            on_behalf_of=function.function_arn,
            session=function.function_name,
            life=_LIFE,
        )
        command = [sys.executable, "-I", "-S", "-u", str(_BOOTSTRAP)]
        environment = {
            **{name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ},
            **{str(k): str(v) for k, v in function.environment_vars.items()},
            **credentials.environment(),
            "_HANDLER": str(function.handler),
            "AWS_ENDPOINT_URL": self._settings.endpoint_url,
            "AWS_EXECUTION_ENV": f"AWS_Lambda_{function.run_time}",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_size),
            "AWS_LAMBDA_FUNCTION_NAME": function.function_name,
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
            "AWS_LAMBDA_LOG_GROUP_NAME": function.logs_group_name,
            "AWS_LAMBDA_LOG_STREAM_NAME": f"[$LATEST]{uuid.uuid4().hex}",
            "AWS_DEFAULT_REGION": function.region,
            "AWS_REGION": function.region,
            "LAMBDA_TASK_ROOT": str(root),
            "TZ": ":UTC",
        }
        with self._lock:
            if self._closed:
                raise _Crashed("the embedded AWS is shutting down")
            started = _Environment(command, environment, self.log_path(function.function_name))
            pool.busy.append(started)
        return started

    def _extracted(self, function: LambdaFunction) -> Path:
        """The folder with the function's code, perhaps from an earlier start."""
        digest = hashlib.sha256(function.code_bytes).hexdigest()
        root = self._settings.state / "functions" / digest[:32]
        # one at a time: thousands of files, which environments that start together would all write
        with self._extracting:
            if root.exists():
                # the newest ones are kept
                os.utime(root)
                return root
            # Extract elsewhere, then rename, so that the folder is always complete.
            partial = root.with_name(f".{root.name}.{uuid.uuid4().hex[:8]}")
            partial.mkdir(parents=True)
            with zipfile.ZipFile(io.BytesIO(function.code_bytes)) as archive:
                archive.extractall(partial)
            partial.rename(root)
        return root


_current: Functions | None = None


def start(settings: Settings) -> Functions:
    """Create the `Functions` of this process, which `current` returns from now on."""
    global _current
    _current = Functions(settings)
    return _current


def current() -> Functions:
    """The `Functions` of this process. Raises: RuntimeError, before `start`."""
    if _current is None:
        raise RuntimeError("the embedded AWS has not been started")
    return _current


def invoke_later(arn: str, event: Any) -> None:
    """Invoke asynchronously, as other AWS services do, without waiting for the result."""
    function = lambda_backends[arn.split(":")[4]][arn.split(":")[3]].get_function(arn)

    def run() -> None:
        outcome = current().invoke(function, event)
        if outcome.failed:
            _LOG.error("%s failed: %s", function.function_name, outcome.payload.decode())

    threading.Thread(target=run, name=f"invoke {function.function_name}", daemon=True).start()
