"""The Core stack: wires the pipeline together and decides nothing itself."""

from __future__ import annotations

from typing import Any

import aws_cdk as cdk
from constructs import Construct

from cdk.access import ACCESS
from cdk.buckets import Buckets
from cdk.deployment import Deployment
from cdk.encryption import Encryption
from cdk.functions import Function
from cdk.intake import Completed, Intake
from cdk.queues import Queues
from cdk.resources import Alarmed, Resources
from cdk.schedules import Schedules
from cdk.tables import Tables
from escriba.topology import TOPOLOGY


class CoreStack(cdk.Stack):
    """Upload to S3, results in S3: buckets, queues, tables, functions, the bus."""

    def __init__(self, scope: Construct, deployment: Deployment, **properties: Any) -> None:
        super().__init__(scope, "Core", stack_name=f"{deployment.name}-core", **properties)
        encryption = Encryption(self, "Encryption", deployment)
        buckets = Buckets(self, "Buckets", deployment, encryption.key)
        queues = Queues(self, "Queues", deployment, TOPOLOGY, encryption.key)
        tables = Tables(self, "Tables", deployment, encryption.key)
        bus = Completed(self, "Completed", deployment).bus
        resources = Resources(
            inbox=buckets.inbox,
            results=buckets.results,
            ledger=tables.ledger,
            idempotency=tables.idempotency,
            queues=queues.by_name,
            bus=bus,
            key=encryption.key,
            policies=deployment.load_policies(),
            backends=deployment.load_backends(),
            namespace=deployment.namespace,
        )
        functions = {spec.name: Function(self, deployment, spec, resources, ACCESS[spec.name]).function for spec in TOPOLOGY.functions}
        Schedules(self, "Schedules", deployment, {spec: functions[spec.name] for spec in TOPOLOGY.functions if spec.every})
        self.resources = resources
        self.alarmed = Alarmed(functions, tables.ledger, queues.by_name, encryption.key)
        encryption.let_publish("cloudwatch.amazonaws.com")
        Intake(self, "Intake", deployment, inbox=buckets.inbox, queue=queues.by_name["intake"], encryption=encryption)
        for name, value in (
            ("InboxBucket", buckets.inbox.bucket_name),
            ("ResultsBucket", buckets.results.bucket_name),
            ("LedgerTable", tables.ledger.table_name),
            ("EventBus", bus.event_bus_name),
            ("ReadWithApi", functions["read_with_api"].function_name),
        ):
            cdk.CfnOutput(self, name, value=value)
