"""The GPU service on ECS: instances with a card that ECS itself rents and gives back, and a task of vLLM, unmodified, with our worker beside it."""

from __future__ import annotations

import aws_cdk as cdk
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecr as ecr
from aws_cdk import aws_ecr_assets as assets
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from constructs import Construct

from cdk import acknowledgments
from cdk.access import GPU_TASK, grant
from cdk.deployment import ROOT, Deployment
from cdk.gpu_settings import PORT, SPEC, GpuSettings
from cdk.network import Network
from cdk.resources import Resources
from escriba.models import VLLM_VERSION
from escriba.models.mirror import prefix_of

_CPU, _MEMORY_MIB = 6_144, 26_624
"""Of the 8 processors and 32 GiB of the smallest instance; the rest is its own."""
_WORKER_MIB, _SCRATCH_MIB, _VLLM_SCRATCH_MIB, _SHARED_MIB = 10_240, 4_096, 2_048, 1_024
_READER_MIB = 2_752
"""As in `recognise_pages`: 256 less than its 3008."""
_DISK_GIB = 120
"""Both images unpacked, the weights, and what vLLM compiles."""
_ANY_PRICE = 999_999
"""Percent: EC2's word for no price protection."""
_NOBODY = "65534:65534"
"""Neither container runs as root; one user, because the one reads what the other has fetched. The worker's image has a folder `_CACHE` of his, whose
owner the volume takes over."""
_PYTHON = ["python", "-m"]
_CACHE, _SCRATCH = "/cache", "/tmp"  # noqa: S108  (a file system of the container's own, in memory)
_FRONT = 8080
_VLLM_STOP, _VLLM_AGAIN = 5, 60
"""Seconds: it is stopped after the worker, and nobody asks it any more; and how long it must have run to be started again when it dies. ECS asks for no
less, and for 300 unless told."""
_ALIVE = "import http.client as h; c = h.HTTPConnection('127.0.0.1', {}, timeout=5); c.request('GET', '/health'); {}"


class GpuService(Construct):
    """One service of `SPEC`, at zero tasks until it is scaled. `repository` is where vLLM's image has to be put, `weights` where the weights."""

    def __init__(
        self, scope: Construct, construct_id: str, deployment: Deployment, gpu: GpuSettings, network: Network, resources: Resources
    ) -> None:
        super().__init__(scope, construct_id)
        self._deployment, self._gpu, self._network, self._resources = deployment, gpu, network, resources
        self.repository = self._repository()
        self.weights = f"s3://{gpu.bucket or resources.results.bucket_name}/{gpu.prefix}"
        cluster = ecs.Cluster(
            self, "Cluster", cluster_name=deployment.name, vpc=network.vpc, container_insights_v2=ecs.ContainerInsights.DISABLED
        )
        acknowledgments.own_metrics(cluster)
        capacity = self._capacity()
        cluster.add_managed_instances_capacity_provider(capacity)
        self.cluster_name = cluster.cluster_name
        self._service = ecs.FargateService(  # of its kind in name only: where a task runs is for the capacity provider to say
            self,
            "Service",
            service_name="gpu-service",
            cluster=cluster,
            task_definition=self._task(),
            desired_count=0,
            capacity_provider_strategies=[ecs.CapacityProviderStrategy(capacity_provider=capacity.capacity_provider_name, weight=1)],
            # A new version takes the place of the old one: cards are too dear, and quotas too small, for both at once.
            min_healthy_percent=0,
            max_healthy_percent=100,
            availability_zone_rebalancing=ecs.AvailabilityZoneRebalancing.DISABLED,  # a page under way is worth more than an even spread
            security_groups=[network.tasks],
            vpc_subnets=ec2.SubnetSelection(subnets=network.subnets),
            assign_public_ip=False,
        )
        self.service_name = self._service.service_name

    def let_look(self, function: lambda_.Function) -> None:
        """Let a function ask how many tasks there are."""
        statement = iam.PolicyStatement(actions=["ecs:DescribeServices"], resources=[self._service.service_arn])
        function.add_to_role_policy(statement)

    def _repository(self) -> ecr.Repository:
        # Not a pull-through cache: it too has to be filled by a first pull that reaches the internet, which nothing here does.
        return ecr.Repository(
            self,
            "Vllm",
            repository_name=f"{self._deployment.name}/vllm-openai",
            image_tag_mutability=ecr.TagMutability.IMMUTABLE,
            image_scan_on_push=True,
            removal_policy=cdk.RemovalPolicy.DESTROY,
            empty_on_delete=False,
        )

    def _capacity(self) -> ecs.ManagedInstancesCapacityProvider:
        capacity = ecs.ManagedInstancesCapacityProvider(
            self,
            "Capacity",
            capacity_option_type=ecs.CapacityOptionType.SPOT if self._gpu.spot else ecs.CapacityOptionType.ON_DEMAND,
            subnets=self._network.subnets,
            security_groups=[self._network.tasks],
            task_volume_storage=cdk.Size.gibibytes(_DISK_GIB),
            propagate_tags=ecs.PropagateManagedInstancesTags.CAPACITY_PROVIDER,
            instance_requirements=ec2.InstanceRequirementsConfig(
                v_cpu_count_min=8,
                memory_min=cdk.Size.gibibytes(32),
                accelerator_count_min=1,
                accelerator_count_max=1,
                accelerator_manufacturers=[ec2.AcceleratorManufacturer.NVIDIA],
                allowed_instance_types=list(self._gpu.instance_types),
                # The list is the limit. By default EC2 leaves out what costs a fifth more on demand than the cheapest that fits, and so half of it.
                # Source: "InstanceRequirementsRequest" in EC2's API reference. The CDK takes only one of the two.
                on_demand_max_price_percentage_over_lowest_price=None if self._gpu.spot else _ANY_PRICE,
                spot_max_price_percentage_over_lowest_price=_ANY_PRICE if self._gpu.spot else None,
            ),
        )
        acknowledgments.managed_instances(capacity)
        return capacity

    def _task(self) -> ecs.TaskDefinition:
        task = ecs.TaskDefinition(
            self,
            "Task",
            family=f"{self._deployment.name}-gpu-service",
            compatibility=ecs.Compatibility.MANAGED_INSTANCES,
            network_mode=ecs.NetworkMode.AWS_VPC,
            cpu=str(_CPU),
            memory_mib=str(_MEMORY_MIB),
            task_role=self._role(),
            volumes=[ecs.Volume(name="cache", host=ecs.Host())],
        )
        worker = ecs.ContainerImage.from_docker_image_asset(
            assets.DockerImageAsset(
                self, "Worker", directory=str(ROOT), file="gpu_service/Dockerfile", platform=assets.Platform.LINUX_AMD64
            )
        )
        fetching, server, reading = self._fetching(task, worker), self._server(task), self._reading(task, worker)
        server.add_container_dependencies(ecs.ContainerDependency(container=fetching, condition=ecs.ContainerDependencyCondition.SUCCESS))
        # Stopped in the other order: the worker ends what it has begun while the server still answers.
        reading.add_container_dependencies(ecs.ContainerDependency(container=server, condition=ecs.ContainerDependencyCondition.START))
        acknowledgments.task(task)
        return task

    def _fetching(self, task: ecs.TaskDefinition, image: ecs.ContainerImage) -> ecs.ContainerDefinition:
        """Brings the weights, each checked by its hash, and ends."""
        return self._container(
            task,
            "weights",
            image,
            entry_point=_PYTHON,
            command=["gpu_service.weights"],
            essential=False,
            scratch=_SCRATCH_MIB,
            environment={
                "MODEL": self._gpu.model,
                "MODEL_BUCKET": self._gpu.bucket or self._resources.results.bucket_name,
                "MODEL_PREFIX": self._gpu.prefix,
                "MODEL_CACHE": _CACHE,
                **self._region(),
            },
        )

    def _server(self, task: ecs.TaskDefinition) -> ecs.ContainerDefinition:
        """The server, vLLM as it is published, with the registry's flags; heard inside the task alone."""
        model = self._gpu.entry
        folder = f"{_CACHE}/{model.name}/{model.revision}"
        # No tokens one by one: a worker told of each alone does little else. What is under way when it stops is nobody's any more.
        flags = ("--host", "127.0.0.1", "--port", str(PORT), "--stream-interval", "16", "--shutdown-timeout", str(_VLLM_STOP))
        return self._container(
            task,
            "vllm",
            ecs.ContainerImage.from_ecr_repository(self.repository, f"v{VLLM_VERSION}"),
            entry_point=["vllm", "serve"],
            command=[*model.serve(folder), *flags],
            gpu_count=1,
            stop=_VLLM_STOP,
            scratch=_VLLM_SCRATCH_MIB,
            shared=_SHARED_MIB,
            # Torch asks who it is, and there is no such user in the image.
            environment={
                "HOME": _SCRATCH,
                "USER": "vllm",
                "VLLM_CACHE_ROOT": f"{_CACHE}/vllm",
                "TORCHINDUCTOR_CACHE_DIR": f"{_CACHE}/inductor",
            }
            | {"TRITON_CACHE_DIR": f"{_CACHE}/triton", "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"},
            alive=["CMD", "python3", "-c", _ALIVE.format(PORT, "assert c.getresponse().status == 200")],
            restarted_after=_VLLM_AGAIN,
        )

    def _reading(self, task: ecs.TaskDefinition, image: ecs.ContainerImage) -> ecs.ContainerDefinition:
        """Our worker; it is alive when it answers, whatever it says of the server."""
        return self._container(
            task,
            "worker",
            image,
            entry_point=_PYTHON,
            command=["gpu_service"],
            memory=_WORKER_MIB,
            stop=SPEC.stop,
            scratch=_SCRATCH_MIB,
            environment=self._resources.settings(reader_memory_mb=_READER_MIB).to_env() | self._region(),
            alive=["CMD", "python", "-c", _ALIVE.format(_FRONT, "c.getresponse()")],
        )

    def _region(self) -> dict[str, str]:
        """Where what it calls is; a function is told by Lambda, a container of a task by nobody, and boto3 looks for this name alone."""
        return {"AWS_DEFAULT_REGION": cdk.Stack.of(self).region}

    def _container(
        self,
        task: ecs.TaskDefinition,
        name: str,
        image: ecs.ContainerImage,
        *,
        command: list[str],
        environment: dict[str, str],
        scratch: int,
        shared: int | None = None,
        stop: float | None = None,
        alive: list[str] | None = None,
        restarted_after: float | None = None,
        memory: int | None = None,
        entry_point: list[str] | None = None,
        gpu_count: int | None = None,
        essential: bool = True,
    ) -> ecs.ContainerDefinition:
        linux = ecs.LinuxParameters(self, f"{name}-linux", init_process_enabled=True, shared_memory_size=shared)
        linux.drop_capabilities(ecs.Capability.ALL)
        options = [ecs.TmpfsMountOption.NOSUID, ecs.TmpfsMountOption.NODEV, *([ecs.TmpfsMountOption.EXEC] if gpu_count else [])]
        linux.add_tmpfs(ecs.Tmpfs(container_path=_SCRATCH, size=scratch, mount_options=options))  # Triton loads what it has compiled there
        # A start may take its full time and half as long again before it counts as ill.
        health = alive and ecs.HealthCheck(
            command=alive,
            interval=cdk.Duration.seconds(30),
            timeout=cdk.Duration.seconds(10),
            retries=5,
            start_period=cdk.Duration.seconds(SPEC.start),
        )
        container = task.add_container(
            name,
            image=image,
            container_name=name,
            entry_point=entry_point,
            command=command,
            environment=environment,
            memory_reservation_mib=memory or 512,
            gpu_count=gpu_count,
            essential=essential,
            user=_NOBODY,
            readonly_root_filesystem=True,
            linux_parameters=linux,
            stop_timeout=None if stop is None else cdk.Duration.seconds(stop),
            health_check=health or None,
            enable_restart_policy=True if restarted_after else None,
            restart_attempt_period=cdk.Duration.seconds(restarted_after) if restarted_after else None,
            logging=ecs.LogDriver.aws_logs(stream_prefix=name, log_group=self._log_group(name)),
        )
        container.add_mount_points(ecs.MountPoint(container_path=_CACHE, source_volume="cache", read_only=name == "worker"))
        return container

    def _log_group(self, name: str) -> logs.LogGroup:
        return logs.LogGroup(
            self,
            f"{name}-logs",
            retention=logs.RetentionDays.ONE_YEAR if self._deployment.keeps_data else logs.RetentionDays.TWO_WEEKS,
            removal_policy=cdk.RemovalPolicy.RETAIN if self._deployment.keeps_data else cdk.RemovalPolicy.DESTROY,
        )

    def _role(self) -> iam.Role:
        """What the task may do: read pages of its queue better, fetch its weights, say that it is busy."""
        role = iam.Role(self, "TaskRole", assumed_by=iam.ServicePrincipal("ecs-tasks.amazonaws.com"))
        grant(role, GPU_TASK, SPEC.consumes, self._resources)
        bucket = self._resources.results
        if self._gpu.bucket:
            bucket = s3.Bucket.from_bucket_name(self, "Weights", self._gpu.bucket)
            role.add_to_policy(iam.PolicyStatement(actions=["s3:ListBucket"], resources=[bucket.bucket_arn]))
        weights = f"{prefix_of(self._gpu.entry, self._gpu.prefix)}*"
        role.add_to_policy(iam.PolicyStatement(actions=["s3:GetObject"], resources=[bucket.arn_for_objects(weights)]))
        acknowledgments.key_prefixes(role, bucket, [weights])
        tasks = cdk.Stack.of(self).format_arn(service="ecs", resource="task", resource_name=f"{self._deployment.name}/*")
        role.add_to_policy(iam.PolicyStatement(actions=["ecs:GetTaskProtection", "ecs:UpdateTaskProtection"], resources=[tasks]))
        acknowledgments.protection(role, self._deployment.name)
        return role
