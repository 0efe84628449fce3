"""The app: settings → stacks → checks → a cloud assembly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import aws_cdk as cdk
from cdk_nag import AwsSolutionsChecks

from remotejob.settings import DEFAULT_FILE, load
from stacks.bundle import ROOT, bundle
from stacks.functions_stack import FunctionsStack
from stacks.storage_stack import StorageStack
from stacks.workers_stack import WorkersStack

SETTINGS_CONTEXT: Final = "settings"
"""`cdk deploy -c settings=other.toml`"""


def synthesize(
    settings_file: Path | None = None, *, outdir: Path | None = None
) -> cdk.cx_api.CloudAssembly:
    """Write the cloud assembly of one system.

    settings_file: default the one in the context, or `remotejob.toml` next to `app.py`.
    outdir: default CDK_OUTDIR, or a temporary folder.

    Raises: SettingsError, BundleError; an error for findings of cdk-nag that are not acknowledged.
    """
    return build_app(settings_file, outdir=outdir).synth()


def build_app(settings_file: Path | None = None, *, outdir: Path | None = None) -> cdk.App:
    """The app with its three stacks and its checks, not yet synthesized."""
    app = cdk.App(
        # The CDK's command line passes on the context of cdk.json. We read it, too, so that
        # `python app.py` and `cdk synth` write the same templates.
        context=json.loads((ROOT / "cdk.json").read_text(encoding="utf-8"))["context"],
        outdir=None if outdir is None else str(outdir),
        analytics_reporting=False,
        # With this rule, updates of a stack fail in an account that was not bootstrapped.
        default_stack_synthesizer=cdk.DefaultStackSynthesizer(
            generate_bootstrap_version_rule=False
        ),
    )
    if settings_file is None:
        settings_file = ROOT / (app.node.try_get_context(SETTINGS_CONTEXT) or DEFAULT_FILE)
    settings = load(settings_file)
    storage = StorageStack(app, settings)
    FunctionsStack(app, settings, storage=storage, code=bundle(settings_file))
    WorkersStack(app, settings, storage=storage)
    cdk.Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    return app
