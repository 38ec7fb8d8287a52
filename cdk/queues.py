"""Every queue of the topology with its dead-letter queue."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from cdk.deployment import Deployment
from escriba.topology import QueueSpec, Topology


class Queues(Construct):
    """`by_name` holds them by their names in the topology. A queue is called `escriba-<stage>--<name>`: handlers take the end."""

    def __init__(self, scope: Construct, construct_id: str, deployment: Deployment, topology: Topology, key: kms.IKey) -> None:
        super().__init__(scope, construct_id)
        self._deployment, self._key = deployment, key
        self.by_name: dict[str, sqs.Queue] = {}
        sources = {spec.dead_letter_name: spec for spec in topology.queues if spec.dead_letters}
        for spec in reversed(topology.all_queues()):  # dead-letter queues first: their sources point to them
            self.by_name[spec.name] = self._queue(spec, sources.get(spec.name))

    def _queue(self, spec: QueueSpec, source: QueueSpec | None) -> sqs.Queue:
        dead = (
            sqs.DeadLetterQueue(queue=self.by_name[spec.dead_letter_name], max_receive_count=spec.max_receives)
            if spec.dead_letters
            else None
        )
        return sqs.Queue(
            self,
            spec.name,
            queue_name=self._name(spec.name),
            visibility_timeout=cdk.Duration.seconds(spec.visibility),
            retention_period=cdk.Duration.seconds(spec.retention),
            encryption=sqs.QueueEncryption.KMS,
            encryption_master_key=self._key,
            data_key_reuse=cdk.Duration.hours(1),
            enforce_ssl=True,
            dead_letter_queue=dead,
            redrive_allow_policy=self._allow(source),
        )

    def _allow(self, source: QueueSpec | None) -> sqs.RedriveAllowPolicy:
        if source is None:
            return sqs.RedriveAllowPolicy(redrive_permission=sqs.RedrivePermission.DENY_ALL)
        # By its name: the source itself points to this queue, and CloudFormation makes nothing that goes in a circle.
        arn = cdk.Stack.of(self).format_arn(service="sqs", resource=self._name(source.name))
        allowed = sqs.Queue.from_queue_arn(self, f"{source.name}-source", arn)
        return sqs.RedriveAllowPolicy(redrive_permission=sqs.RedrivePermission.BY_QUEUE, source_queues=[allowed])

    def _name(self, short: str) -> str:
        return f"{self._deployment.name}--{short}"
