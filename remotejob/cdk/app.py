"""A CDK app whose errors are one line, with the checks of cdk-nag."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import aws_cdk as cdk
from cdk_nag import AwsSolutionsChecks

from remotejob.cdk.bundle import BundleError
from remotejob.domain.argument_checks import check_choice
from remotejob.domain.errors import SettingsError
from remotejob.names import STAGE_CONTEXT
from remotejob.settings import DEFAULT_FILE, Stage

SETTINGS_CONTEXT: Final = "settings"
"""`cdk deploy -c settings=other.toml`"""

_STAGE_IN_SHORT: Final = "stage"
"""`cdk deploy -c stage=development`, for `STAGE_CONTEXT`."""


class RemoteJobApp(cdk.App):
    """An app with the context of the folder's `cdk.json`, and the checks of cdk-nag.

    The CDK's command line passes that context on. We read it, too, so that `python app.py` and
    `cdk synth` write the same templates.
    """

    def __init__(self, folder: Path, *, outdir: Path | None = None) -> None:
        """outdir: default CDK_OUTDIR, or a temporary folder.

        Raises: SettingsError, for a `cdk.json` that cannot be read.
        """
        super().__init__(
            context=_context(folder / "cdk.json"),
            outdir=None if outdir is None else str(outdir),
            analytics_reporting=False,
            # With this rule, updates of a stack fail in an account that was not bootstrapped.
            default_stack_synthesizer=cdk.DefaultStackSynthesizer(
                generate_bootstrap_version_rule=False
            ),
        )
        self.folder: Final = folder
        self._read_stage()
        cdk.Validations.of(self).add_plugins(AwsSolutionsChecks(self))

    @property
    def settings(self) -> Path:
        """The settings file: the context's, or `remotejob.toml` of the folder."""
        return self.folder / (self.node.try_get_context(SETTINGS_CONTEXT) or DEFAULT_FILE)

    def _read_stage(self) -> None:
        """Let `-c stage=…` set the stage of the systems. Raises: SettingsError.

        The systems read a longer name, because an app of somebody's own may have its own meaning
        for the short one.
        """
        asked = self.node.try_get_context(_STAGE_IN_SHORT)
        if asked is None:
            return
        check_choice(f"-c {_STAGE_IN_SHORT}=", asked, Stage, error=SettingsError)
        if self.node.try_get_context(STAGE_CONTEXT) is None:
            self.node.set_context(STAGE_CONTEXT, asked)


@contextmanager
def app_in(folder: Path) -> Iterator[RemoteJobApp]:
    """An app, synthesized at the end of the block.

    A problem of the settings or of the functions' code ends the program with one line.
    """
    try:
        app = RemoteJobApp(folder)
        yield app
        app.synth()
    except (SettingsError, BundleError) as problem:
        # Without a traceback: the message says what to do.
        sys.exit(f"error: {problem}")


def _context(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingsError(f"{file}: no such file; `remotejob init .` adds one") from None
    except ValueError as problem:
        raise SettingsError(f"{file}: not JSON: {problem}; correct it") from None
    context = content.get("context", {}) if isinstance(content, dict) else None
    if not isinstance(context, dict):
        raise SettingsError(
            f"{file}: it is no object with a `context`; `remotejob init` writes one"
        )
    return context
