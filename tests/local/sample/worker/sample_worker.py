"""A worker that says who it is and waits to be stopped."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading

import boto3

stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
who = boto3.client("sts").get_caller_identity()["Arn"]
boto3.client("sqs").send_message(
    QueueUrl=os.environ["RESULTS_URL"],
    MessageBody=json.dumps({"worker": os.getpid(), "who": who, "environment": dict(os.environ)}),
)
print("ready", flush=True)
while not stop.wait(0.2):
    pass
print("drained", flush=True)
sys.exit(3)
