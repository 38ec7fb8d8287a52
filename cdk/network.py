"""The network of the GPU service: subnets that lead nowhere, and the doors to the AWS services that its tasks call, each at a price."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from constructs import Construct

from cdk.deployment import Deployment


@dataclass(frozen=True)
class EndpointPrice:
    """USD for one interface endpoint in one zone and one hour; when and where it was looked up."""

    usd_per_hour: float
    region: str
    dated: dt.date
    source: str


PRICE = EndpointPrice(0.01, "us-east-1", dt.date(2026, 11, 28), "aws.amazon.com/privatelink/pricing")
HOURS_A_MONTH = 730
INTERFACES: Mapping[str, str] = {
    "ecs": "a task tells ECS that it is busy, through its agent, so that scaling in takes another one",
    "ecs-agent": "the instance's agent asks ECS for tasks",
    "ecs-telemetry": "and tells it how they do",
    "ecr.api": "the instance asks ECR for leave to pull the images",
    "ecr.dkr": "and pulls them; their layers come from S3",
    "logs": "both containers' logs, and in the worker's its metrics",
    "sqs": "the worker receives, hides, deletes and sends messages",
}
"""Interface endpoints, and for what. None for KMS, which S3, SQS and DynamoDB call themselves; none for STS and CloudWatch: a task gets its credentials
from the agent and writes its metrics into its log; none for Secrets Manager and EventBridge, which the worker has no use for."""
GATEWAYS: Mapping[str, str] = {
    "s3": "originals, readings, weights, and the layers of the images",
    "dynamodb": "the ledger",
}
"""Gateway endpoints, which cost nothing."""
GUARDED = ("s3", "dynamodb", "sqs", "logs")
"""Those through which what was read could be carried out with somebody else's keys; they let this account's own through, whom their roles limit."""
_ZONES = 2
"""Subnets, in as many zones: two markets for GPUs. The doors stand in the first one alone, at half the price of both; the other subnet uses them too."""


class Network(Construct):
    """A VPC without internet gateway and NAT; `tasks` is the security group of whatever runs in it."""

    def __init__(self, scope: Construct, construct_id: str, deployment: Deployment) -> None:
        super().__init__(scope, construct_id)
        isolated = ec2.SubnetConfiguration(name="Isolated", subnet_type=ec2.SubnetType.PRIVATE_ISOLATED, cidr_mask=24)
        self.vpc = ec2.Vpc(
            self,
            "Vpc",
            ip_addresses=ec2.IpAddresses.cidr("10.71.0.0/16"),
            max_azs=_ZONES,
            nat_gateways=0,
            create_internet_gateway=False,
            subnet_configuration=[isolated],
            restrict_default_security_group=False,  # nothing is in it, and emptying it takes a function of the CDK's own
        )
        self.subnets = self.vpc.isolated_subnets
        self._log_refusals(deployment)
        # 443 to anywhere: there is nowhere but the doors, and what S3 and DynamoDB are called has other addresses in each region.
        self.tasks = self._group("Tasks", "Instances and tasks of the GPU service: call AWS, and are called by nobody")
        self.tasks.add_egress_rule(ec2.Peer.any_ipv4(), ec2.Port.tcp(443), "AWS, through the endpoints")
        doors = self._group("Endpoints", "Interface endpoints: called by the tasks of the GPU service alone")
        doors.add_ingress_rule(self.tasks, ec2.Port.tcp(443), "calls of AWS")
        made: dict[str, ec2.VpcEndpoint] = {}
        for name in INTERFACES:
            made[name] = self.vpc.add_interface_endpoint(
                name.replace(".", "-"),
                service=ec2.InterfaceVpcEndpointAwsService(name),
                subnets=ec2.SubnetSelection(subnets=self.subnets[:1]),
                security_groups=[doors],
                open=False,
                private_dns_enabled=True,
            )
        for name in GATEWAYS:
            made[name] = self.vpc.add_gateway_endpoint(name, service=ec2.GatewayVpcEndpointAwsService(name))
        self._guard(made)

    @staticmethod
    def idle_bill() -> str:
        """What the doors cost, whether anybody goes through them or not."""
        usd = len(INTERFACES) * PRICE.usd_per_hour * HOURS_A_MONTH
        return (
            f"{len(INTERFACES)} interface endpoints in one zone cost {usd:.2f} USD a month, used or not: {PRICE.usd_per_hour} USD an hour each in "
            f"{PRICE.region} ({PRICE.dated}, {PRICE.source}), and 0.01 a GB; the gateways to {' and '.join(GATEWAYS)} cost nothing"
        )

    def _guard(self, doors: Mapping[str, ec2.VpcEndpoint]) -> None:
        stack = cdk.Stack.of(self)
        for name in GUARDED:
            ours = {"StringEquals": {"aws:PrincipalAccount": stack.account}}
            doors[name].add_to_policy(
                iam.PolicyStatement(principals=[iam.StarPrincipal()], actions=["*"], resources=["*"], conditions=ours)
            )
        # The layers of the images come from a bucket of ECR's, by addresses that ECR has signed with keys of its own account. Source: "Minimum Amazon S3
        # bucket permissions for Amazon ECR" in its user guide.
        layers = f"arn:{stack.partition}:s3:::prod-{stack.region}-starport-layer-bucket/*"
        doors["s3"].add_to_policy(iam.PolicyStatement(principals=[iam.StarPrincipal()], actions=["s3:GetObject"], resources=[layers]))

    def _group(self, name: str, description: str) -> ec2.SecurityGroup:
        return ec2.SecurityGroup(self, name, vpc=self.vpc, description=description, allow_all_outbound=False)

    def _log_refusals(self, deployment: Deployment) -> None:
        group = logs.LogGroup(
            self,
            "Refusals",
            retention=logs.RetentionDays.ONE_YEAR if deployment.keeps_data else logs.RetentionDays.TWO_WEEKS,
            removal_policy=cdk.RemovalPolicy.RETAIN if deployment.keeps_data else cdk.RemovalPolicy.DESTROY,
        )
        # What was let through is AWS's own, and much; what was refused is somebody's mistake, or worse.
        self.vpc.add_flow_log(
            "Refused", destination=ec2.FlowLogDestination.to_cloud_watch_logs(group), traffic_type=ec2.FlowLogTrafficType.REJECT
        )
