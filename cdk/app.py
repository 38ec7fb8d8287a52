"""`python -m cdk.app`: what the CDK's command line runs, and `make synth` without it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from typing import Any

import aws_cdk as cdk
from cdk_nag import AwsSolutionsChecks

from cdk.core_stack import CoreStack
from cdk.deployment import ROOT, Deployment, read_deployment
from cdk.gpu_stack import GpuStack
from cdk.network import Network
from cdk.observability_stack import ObservabilityStack
from escriba.errors import ConfigurationError

NO_BUNDLING: Mapping[str, Any] = {"aws:cdk:bundling-stacks": []}
"""Context with which no code is packed: a synthesis that is quick and needs no network."""


def build(context: Mapping[str, Any], outdir: str) -> cdk.App:
    """The app, its findings by cdk-nag included: `synth()` raises while any stands unaccepted. `context` goes before cdk.json's."""
    app = cdk.App(outdir=outdir, context={**json.loads((ROOT / "cdk.json").read_text())["context"], **context})
    deployment = read_deployment({name: app.node.try_get_context(name) for name in Deployment.model_fields})
    core = CoreStack(app, deployment)
    stacks: list[cdk.Stack] = [core]
    if deployment.alarm_email:
        stacks.append(ObservabilityStack(app, deployment, core.alarmed))
    if deployment.gpu:
        stacks.append(GpuStack(app, deployment, deployment.gpu, core))
    for stack in stacks:
        cdk.Tags.of(stack).add("project", "escriba")
        cdk.Tags.of(stack).add("stage", deployment.stage)
    cdk.Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    return app


def main() -> None:
    """Write the templates, and say what costs money unused; what is wrong in the context or in a policy ends it with one sentence."""
    try:
        app = build({}, os.environ.get("CDK_OUTDIR", "cdk.out"))
    except (ValueError, ConfigurationError) as error:
        sys.exit(f"escriba: {error}")
    app.synth()
    if app.node.try_find_child("Gpu"):
        sys.stdout.write(f"Gpu: {Network.idle_bill()}\n")


if __name__ == "__main__":
    main()
