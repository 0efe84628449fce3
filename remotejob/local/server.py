"""The server of the embedded AWS: `python -m remotejob.local.server [--port 0] [--state DIR]`.

When ready, it prints one line of JSON with its address and credentials; if it cannot use the data
it is to keep, the line says why. It listens only on the
loopback interface. It ends, with everything it started, on SIGTERM, on SIGINT, and at the end of
standard input, so it never outlives the process that started it.
"""

from __future__ import annotations

import argparse
import functools
import gc
import io
import json
import logging
import os
import secrets
import signal
import sys
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from remotejob.local import private_files
from remotejob.local.control import Control
from remotejob.local.errors import NotPrivate, StateUnusable
from remotejob.local.keeping.access import Access, free_port, is_free
from remotejob.local.keeping.folder import Begin

if TYPE_CHECKING:
    from remotejob.local.ecs.services import Services
    from remotejob.local.keeping.keeper import Keeper

HOST: Final = "127.0.0.1"
ADMINISTRATOR: Final = "administrator"


def main(arguments: list[str] | None = None) -> int:
    """Serve until stopped."""
    parser = argparse.ArgumentParser(prog="remotejob.local.server")
    parser.add_argument("--port", type=int, default=0, help="0 picks a free port")
    parser.add_argument("--state", type=Path, help="folder for logs and extracted code")
    parser.add_argument("--keep", type=Path, help="folder for data that outlive the server")
    parser.add_argument("--begin", type=Begin, default=Begin.KEPT, choices=list(Begin))
    parser.add_argument("--account", default="123456789012")
    parser.add_argument("--region", default="eu-west-1")
    parser.add_argument("--services", action="store_true", help="obey the counts of ECS services")
    parser.add_argument("--verbose", action="store_true", help="log every request")
    options = parser.parse_args(arguments)
    state = options.state or Path(tempfile.mkdtemp(prefix="remotejob-"))
    # workers and functions inherit it
    os.umask(0o077)
    for folder in (state, state / "logs", state / "functions"):
        private_files.make_folder(folder)
    _configure(options.account, options.region, state, verbose=options.verbose)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        server = Server(
            port=options.port,
            state=state,
            account=options.account,
            region=options.region,
            keep=options.keep,
            begin=options.begin,
            services=options.services,
        )
    except (StateUnusable, NotPrivate) as problem:
        print(json.dumps({"refused": str(problem)}), flush=True)
        return 2
    started = server.start()
    # what moto loaded is never garbage, and scanning it takes a seventh of a second
    gc.freeze()
    print(json.dumps(started), flush=True)
    threading.Thread(target=_watch_parent, args=(stop,), daemon=True).start()
    # Wait in slices, so that signals are handled in between on every platform.
    while not stop.wait(0.5):
        pass
    server.stop()
    # Don't wait for threads in long polls, which may take seconds: no client is left.
    logging.shutdown()
    os._exit(0)


def _watch_parent(stop: threading.Event) -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    stop.set()


def _configure(account: str, region: str, state: Path, *, verbose: bool) -> None:
    """Configure moto. It reads its settings at import, so nothing may import it before this."""
    for name in [n for n in os.environ if n.startswith(("AWS_", "MOTO_"))]:
        del os.environ[name]
    os.environ.update(
        {
            "MOTO_ACCOUNT_ID": account,
            "AWS_DEFAULT_REGION": region,
            # Web pages in a browser must not be able to read from this server.
            "MOTO_DISABLE_GLOBAL_CORS": "true",
            "MOTO_IAM_LOAD_MANAGED_POLICIES": "true",
            "MOTO_EC2_LOAD_DEFAULT_AMIS": "false",
            "MOTO_SQS_ENFORCE_STRICT_QUEUE_PURGE_BEHAVIOUR": "false",
        }
    )
    log = private_files.open_log(state / "logs" / "server.log")
    logging.basicConfig(
        stream=io.TextIOWrapper(log, encoding="utf-8", line_buffering=True),
        level=logging.INFO if verbose else logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    _parse_each_file_once()
    logging.captureWarnings(capture=True)
    if not verbose:
        logging.getLogger("werkzeug").setLevel(logging.ERROR)


def _parse_each_file_once() -> None:
    """Cache the SDK's data files: moto parses the same large ones repeatedly as it starts."""
    from botocore.loaders import JSONFileLoader

    stock = JSONFileLoader.load_file

    @functools.cache
    def load(path: str) -> Any:
        return stock(JSONFileLoader(), path)

    JSONFileLoader.load_file = lambda _, path: load(path)  # type: ignore[method-assign,assignment]


class Server:
    """The parts of the embedded AWS that live in one process, and their control interface."""

    def __init__(
        self,
        *,
        port: int,
        state: Path,
        account: str,
        region: str,
        keep: Path | None,
        begin: Begin,
        services: bool,
    ) -> None:
        """`services`: whether ECS services start workers.

        Raises: StateUnusable or NotPrivate, for the folder `keep`.
        """
        # imported here because moto reads its settings at import: see `_configure`
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
        from werkzeug.serving import make_server

        from remotejob.local import (
            functions,
            gateway,
            schedules,
            task_credentials,
            worker_processes,
        )
        from remotejob.local.gaps import close_gaps
        from remotejob.local.keep_alive import Handler

        close_gaps()
        self._account, self._region, self._state = account, region, state
        self._keep = keep
        self._keeper: Keeper | None = None
        self._access: Access | None = None
        if keep is not None:
            from remotejob.local.keeping.keeper import Keeper

            # waits for a server that is about to end, which frees its port, too
            self._keeper = Keeper(keep, account=account, region=region, begin=begin)
            self._access = Access.read(keep)
            port = port or self._kept_port()
        self._token = secrets.token_urlsafe(32)
        moto = DomainDispatcherApplication(create_backend_app)
        self._gateway = gateway.Gateway(moto, account=account, control=self._control)
        self._http = make_server(HOST, port, self._gateway, threaded=True, request_handler=Handler)
        self._http.daemon_threads = True  # type: ignore[attr-defined]
        self._endpoint_url = f"http://{HOST}:{self._http.server_port}"
        os.environ["MOTO_PORT"] = str(self._http.server_port)
        os.environ["MOTO_HOST"] = f"http://{HOST}"
        self._functions = functions.start(
            functions.Settings(endpoint_url=self._endpoint_url, state=state, account=account)
        )
        self._schedules = schedules.Schedules(account)
        self._tasks = task_credentials.TaskCredentials(account, region)
        self._services: Services | None = None
        self._workers = worker_processes.WorkerProcesses(on_end=self._wake_services)
        if services:
            from remotejob.local.ecs.services import Services

            self._services = Services(
                self._workers,
                control=Control(endpoint_url=self._endpoint_url, token=self._token),
                account=account,
                region=region,
                state=state,
            )

    def start(self) -> dict[str, str]:
        """Start serving; return what the parent needs: the endpoint and its credentials."""
        threading.Thread(target=self._http.serve_forever, name="http", daemon=True).start()
        self._schedules.start()
        if self._services is not None:
            self._services.start()
        access = self._create_administrator()
        if self._keep is not None:
            access.write(self._keep)
        return {
            "endpoint_url": self._endpoint_url,
            "account": self._account,
            "region": self._region,
            "state": str(self._state),
            "access_key_id": access.access_key_id,
            "secret_access_key": access.secret_access_key,
            "control_token": self._token,
            "port_before": str(self._access.port) if self._access else "",
        }

    def stop(self) -> None:
        """End the workers and functions; connections close when the process ends.

        If data are kept, workers first give back their jobs, so that the next start runs them at
        once instead of when their leases end.
        """
        if self._services is not None:
            self._services.close()
        if self._keeper is not None:
            self._workers.stop()
        self._workers.close()
        self._functions.close()
        if self._keeper is not None:
            self._keeper.close()

    def _wake_services(self) -> None:
        if self._services is not None:
            self._services.wake()

    def _kept_port(self) -> int:
        if self._access is not None and is_free(HOST, self._access.port):
            return self._access.port
        return free_port(HOST)

    def _create_administrator(self) -> Access:
        from moto.iam.models import iam_backends

        backend = iam_backends[self._account]["aws"]
        backend.create_user(self._region, ADMINISTRATOR)
        everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [everything]})
        backend.put_user_policy(ADMINISTRATOR, "everything", document)
        key = backend.create_access_key(ADMINISTRATOR)
        if self._access is not None:
            del backend.access_keys[key.access_key_id]
            key.access_key_id = self._access.access_key_id
            key.secret_access_key = self._access.secret_access_key
            backend.access_keys[key.access_key_id] = key
        return Access(
            port=self._http.server_port,
            access_key_id=key.access_key_id,
            secret_access_key=key.secret_access_key,
        )

    def _control(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str]
    ) -> tuple[int, Any]:
        offered = headers.get("authorization", "")
        if (answer := self._answer_to_anyone(method, path, body, offered)) is not None:
            return answer
        if not secrets.compare_digest(offered.encode(), self._token.encode()):
            return 403, {"error": "the control token is missing or wrong"}
        match method, path:
            case "GET", "requests" | "receives" | "units" | "accesses":
                return 200, self._counted(path)
            case "GET", "keep" if self._keeper is not None:
                return 200, self._keeper.trouble
            case _ if path.startswith("services") and self._services is not None:
                return self._services.answer(method, path, json.loads(body or b"null"))
            case "POST", _ if path.startswith("workers"):
                return self._control_workers(path, json.loads(body))
            case "POST", _:
                return self._post(path, json.loads(body))
        return 404, {"error": f"no such address: {method} {path}"}

    def _post(self, path: str, wanted: Any) -> tuple[int, Any]:
        from remotejob.local.access.identity import NotTrusted

        match path:
            case "requests":
                self._gateway.reset_counts()
                return 200, {}
            case "failing":
                self._gateway.fail(wanted)
                return 200, {}
            case "keep" if self._keeper is not None:
                try:
                    return 200, asdict(self._keeper.begin(**wanted))
                except StateUnusable as error:
                    return 409, {"error": str(error)}
            case "schedules":
                rule = wanted["rule"]
                if self._schedules.fire(rule):
                    return 200, {}
                problem = f"no rule with a schedule: {rule!r}; check its name or ARN"
                return 404, {"error": problem}
            case "tasks":
                try:
                    return 200, self._tasks.register(wanted["role_arn"], wanted["session"])
                except NotTrusted as error:
                    return 409, {"error": str(error)}
        return 404, {"error": f"no such address: POST {path}"}

    def _answer_to_anyone(
        self, method: str, path: str, body: bytes, offered: str
    ) -> tuple[int, Any] | None:
        """The answer to whoever has a token for this one path; None for all other paths."""
        from remotejob.local import custom_resources, task_credentials

        if path.startswith(task_credentials.PATH):
            name = path.removeprefix(task_credentials.PATH)
            answer = self._tasks.answer(name, offered)
            return (200, answer) if answer is not None else (403, {"error": "not your task"})
        if self._services is not None and self._services.has_agent(path):
            return self._services.answer_agent(method, path, body)
        if path.startswith(custom_resources.PATH):
            token = path.removeprefix(custom_resources.PATH)
            return custom_resources.current().answer(method, token, body)
        return None

    def _counted(self, path: str) -> Any:
        counts = {
            "requests": self._gateway.counts,
            "receives": self._gateway.receives_with_messages,
            "accesses": self._gateway.accesses,
            "units": self._gateway.units,
        }
        return counts[path]()

    def _control_workers(self, path: str, wanted: Any) -> tuple[int, Any]:
        match path.split("/"):
            case ["workers"]:
                try:
                    number, pid = self._workers.start(
                        wanted["command"],
                        environment=wanted["environment"],
                        directory=wanted["directory"],
                        log=Path(wanted["log"]),
                    )
                except (OSError, NotPrivate) as error:
                    return 409, {"error": f"the worker does not start: {error}"}
                return 200, {"number": number, "pid": pid}
            case ["workers", number, "signal"]:
                self._workers.signal(int(number), wanted["signal"])
                return 200, {}
            case ["workers", number, "wait"]:
                return 200, self._workers.wait(int(number), wanted["timeout_s"])
        return 404, {"error": f"no such address: {path}"}


if __name__ == "__main__":
    sys.exit(main())
