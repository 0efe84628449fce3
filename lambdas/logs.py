"""Sends the library's log lines through the function's own logger."""

from __future__ import annotations

import logging

from aws_lambda_powertools import Logger
from aws_lambda_powertools.logging.utils import copy_config_to_registered_loggers


def share_logger(logger: Logger) -> None:
    """Let the library log as JSON, at the function's level."""
    library = logging.getLogger("remotejob")
    copy_config_to_registered_loggers(source_logger=logger, include={library.name})
