"""Run the handler of a deployed Lambda function in its own process.

Started isolated (`-I -S`): it sees only the standard library and the function's own code. For each
invocation it reads one JSON line and writes one. When the parent closes its end of the pipe, this
process ends, even during an invocation.
"""

import json
import os
import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any, TextIO


class Context:
    """Source: Lambda Developer Guide, "Using the Lambda context object ... Python functions"."""

    def __init__(self, request: dict[str, Any]) -> None:
        self.function_name = os.environ["AWS_LAMBDA_FUNCTION_NAME"]
        self.function_version = "$LATEST"
        self.invoked_function_arn = request["arn"]
        self.memory_limit_in_mb = os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]
        self.aws_request_id = request["id"]
        self.log_group_name = os.environ["AWS_LAMBDA_LOG_GROUP_NAME"]
        self.log_stream_name = os.environ["AWS_LAMBDA_LOG_STREAM_NAME"]
        self.identity = None
        self.client_context = None
        self.tenant_id = None
        self._deadline = time.monotonic() + request["timeout_ms"] / 1000

    def get_remaining_time_in_millis(self) -> int:
        """How long the invocation may still take."""
        return max(0, int((self._deadline - time.monotonic()) * 1000))


def read_requests(stream: TextIO, requests: queue.Queue[dict[str, Any]]) -> None:
    """Queue the parent's requests; end this process when the parent closes the pipe."""
    for line in stream:
        requests.put(json.loads(line))
    os._exit(0)


def load(handler: str) -> Callable[[Any, Context], Any]:
    """Import a handler named like "package/module.function"."""
    module_name, _, name = handler.rpartition(".")
    module = __import__(module_name.replace("/", "."), fromlist=[name])
    found: Callable[[Any, Context], Any] = getattr(module, name)
    return found


def failure(error: BaseException) -> dict[str, Any]:
    """An error in Lambda's format."""
    return {
        "errorMessage": str(error),
        "errorType": type(error).__name__,
        "stackTrace": traceback.format_tb(error.__traceback__),
    }


def main(read_fd: int, write_fd: int) -> None:
    """Import the handler, then serve invocations until the parent ends."""
    requests: queue.Queue[dict[str, Any]] = queue.Queue()
    incoming = os.fdopen(read_fd, encoding="utf-8")
    outgoing = os.fdopen(write_fd, "w", encoding="utf-8")
    threading.Thread(target=read_requests, args=(incoming, requests), daemon=True).start()

    def answer(**message: Any) -> None:
        outgoing.write(json.dumps(message) + "\n")
        outgoing.flush()

    root = os.environ["LAMBDA_TASK_ROOT"]
    os.chdir(root)
    sys.path.insert(0, root)
    sys.argv = [root]
    try:
        handler = load(os.environ["_HANDLER"])
    except BaseException as error:  # noqa: BLE001  (SystemExit is an error here too)
        traceback.print_exc()
        answer(init_error=failure(error))
        return
    answer(ready=True)
    while True:
        request = requests.get()
        try:
            result = json.dumps(handler(request["event"], Context(request)))
        except BaseException as error:  # noqa: BLE001  (SystemExit is an error here too)
            traceback.print_exc()
            answer(id=request["id"], error=failure(error))
        else:
            answer(id=request["id"], result=result)
        sys.stdout.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
