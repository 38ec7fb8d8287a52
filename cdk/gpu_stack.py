"""The Gpu stack: wires the GPU service to the Core stack and decides nothing itself; made where the setting `gpu` names a model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import aws_cdk as cdk
from constructs import Construct

from cdk.access import MEASURE
from cdk.core_stack import CoreStack
from cdk.deployment import Deployment
from cdk.functions import Function
from cdk.gpu_scaling import GpuScaling
from cdk.gpu_service import GpuService
from cdk.gpu_settings import SPEC, GpuSettings
from cdk.network import Network
from cdk.schedules import Schedules


class GpuStack(cdk.Stack):
    """Network, service, scaling, and the function that measures what it scales by."""

    def __init__(self, scope: Construct, deployment: Deployment, gpu: GpuSettings, core: CoreStack, **properties: Any) -> None:
        super().__init__(scope, "Gpu", stack_name=f"{deployment.name}-gpu", **properties)
        network = Network(self, "Network", deployment)
        service = GpuService(self, "Service", deployment, gpu, network, core.resources)
        measure = Function(self, deployment, SPEC.measured, core.resources, MEASURE).function
        measure.add_environment("ESCRIBA_GPU_SERVICE", f"{service.cluster_name}/{service.service_name}")
        service.let_look(measure)
        Schedules(self, "Schedules", deployment, {SPEC.measured: measure})
        GpuScaling(
            self,
            "Scaling",
            deployment,
            core.alarmed,
            service=service.service_name,
            cluster=service.cluster_name,
            spec=replace(SPEC, max_tasks=gpu.max_tasks),
        )
        for name, value in (
            ("VllmRepository", service.repository.repository_uri),
            ("Weights", service.weights),
            ("IdleBill", Network.idle_bill()),
        ):
            cdk.CfnOutput(self, name, value=value)
