"""Sends the library's log lines through the function's own logger."""

from __future__ import annotations

import json
import logging
from functools import partial
from typing import IO

from aws_lambda_powertools import Logger
from aws_lambda_powertools.logging.utils import copy_config_to_registered_loggers


def new_logger(service: str, *, stream: IO[str] | None = None) -> Logger:
    """A logger whose lines are ASCII: half a surrogate pair, which no stream takes, is escaped."""
    return Logger(service=service, stream=stream, json_serializer=partial(json.dumps, default=str))


def share_logger(logger: Logger) -> None:
    """Let the library log as JSON, at the function's level."""
    library = logging.getLogger("remotejob")
    copy_config_to_registered_loggers(source_logger=logger, include={library.name})
