"""The ECS task that packs bundles too large for a function: the same package in a container."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aws_cdk import Stack
from aws_cdk import aws_autoscaling as autoscaling
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecr_assets as ecr_assets
from aws_cdk import aws_ecs as ecs

from stacks.constructs.acknowledged import INSTANCES, TASK, acknowledge, acknowledge_wildcard
from stacks.constructs.function import log_group
from stacks.constructs.role import allow, guarded_role, role
from stacks.settings import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aws_cdk import aws_iam as iam
    from aws_cdk import aws_kms as kms
    from constructs import Construct

    from stacks.constructs.function import Placement
    from stacks.settings import ConnectedSide

CONTAINER: Final = "assembler"
_PLATFORMS: Final = {
    "arm64": ecr_assets.Platform.LINUX_ARM64,
    "x86_64": ecr_assets.Platform.LINUX_AMD64,
}
_CPUS: Final = {"arm64": ecs.CpuArchitecture.ARM64, "x86_64": ecs.CpuArchitecture.X86_64}


@dataclass(frozen=True)
class AssemblerTask:
    """The task, and what the machine must know to run it."""

    cluster: ecs.Cluster
    definition: ecs.TaskDefinition
    launch_type: str
    group: ec2.ISecurityGroup

    @property
    def roles(self) -> list[iam.IRole]:
        """The roles that the machine hands to it."""
        execution = self.definition.execution_role
        return [self.definition.task_role, *([execution] if execution else [])]


def assembler_task(
    scope: Construct,
    side: ConnectedSide,
    placement: Placement,
    key: kms.IKey,
    environment: Mapping[str, str],
) -> AssemblerTask:
    """Make cluster, task definition and container.

    Args:
        scope: the stack.
        side: settings: compute, CPU, memory, architecture.
        placement: where it runs.
        key: encrypts its log.
        environment: variables, as the functions have them.
    """
    cluster = ecs.Cluster(
        scope, "Cluster", vpc=placement.vpc, container_insights_v2=ecs.ContainerInsights.ENABLED
    )
    if side.compute == "ec2":
        _instances(scope, side, placement, cluster)
    definition = _definition(scope, side)
    definition.add_container(
        CONTAINER,
        image=ecs.ContainerImage.from_docker_image_asset(image(scope, side)),
        environment={**environment},
        memory_limit_mib=side.task_memory if side.compute == "ec2" else None,
        readonly_root_filesystem=True,
        user="65532",
        logging=ecs.LogDrivers.aws_logs(
            stream_prefix=CONTAINER, log_group=log_group(scope, "TaskLogs", side, key, "task")
        ),
    )
    acknowledge(definition, TASK)
    if definition.execution_role:
        acknowledge_wildcard(
            definition.execution_role, "*", "ecr:GetAuthorizationToken knows no resources"
        )
    return AssemblerTask(cluster, definition, side.compute.upper(), placement.group)


def image(scope: Construct, side: ConnectedSide) -> ecr_assets.DockerImageAsset:
    """Return the container's image, built when it is deployed from what `.dockerignore` lists."""
    arguments = {"CONFIG": side.config}
    if side.base_image:
        arguments["BASE"] = side.base_image
    return ecr_assets.DockerImageAsset(
        scope,
        "AssemblerImage",
        directory=str(ROOT),
        file="containers/assembler/Dockerfile",
        build_args=arguments,
        platform=_PLATFORMS[side.architecture],
        exclude=["cdk.out", "**/__pycache__"],
    )


def _definition(scope: Construct, side: ConnectedSide) -> ecs.TaskDefinition:
    fargate = side.compute == "fargate"
    return ecs.TaskDefinition(
        scope,
        "AssemblerTask",
        compatibility=ecs.Compatibility.FARGATE if fargate else ecs.Compatibility.EC2,
        network_mode=ecs.NetworkMode.AWS_VPC,
        cpu=str(side.task_cpu),
        memory_mib=str(side.task_memory),
        runtime_platform=ecs.RuntimePlatform(
            cpu_architecture=_CPUS[side.architecture],
            operating_system_family=ecs.OperatingSystemFamily.LINUX,
        )
        if fargate
        else None,
        task_role=guarded_role(scope, "TaskRole", "ecs-tasks.amazonaws.com"),
        execution_role=guarded_role(scope, "TaskExecutionRole", "ecs-tasks.amazonaws.com"),
    )


def _instances(
    scope: Construct, side: ConnectedSide, placement: Placement, cluster: ecs.Cluster
) -> None:
    """Two instances at most that join the cluster by themselves, for regions without Fargate."""
    hardware = (
        ecs.AmiHardwareType.ARM if side.architecture == "arm64" else ecs.AmiHardwareType.STANDARD
    )
    data = ec2.UserData.for_linux()
    data.add_commands(
        f"echo ECS_CLUSTER={cluster.cluster_name} >> /etc/ecs/ecs.config",
        "echo ECS_AWSVPC_BLOCK_IMDS=true >> /etc/ecs/ecs.config",
    )
    template = ec2.LaunchTemplate(
        scope,
        "Instance",
        instance_type=ec2.InstanceType(side.instance_type),
        machine_image=ecs.EcsOptimizedImage.amazon_linux2023(hardware),
        role=_instance_role(scope, cluster),
        security_group=placement.group,
        user_data=data,
        require_imdsv2=True,
        detailed_monitoring=True,
        block_devices=[
            ec2.BlockDevice(
                device_name="/dev/xvda", volume=ec2.BlockDeviceVolume.ebs(30, encrypted=True)
            )
        ],
    )
    group = autoscaling.AutoScalingGroup(
        scope,
        "Instances",
        vpc=placement.vpc,
        vpc_subnets=placement.subnets,
        launch_template=template,
        min_capacity=1,
        max_capacity=2,
        health_checks=autoscaling.HealthChecks.ec2(),
    )
    acknowledge(group, INSTANCES)


def _instance_role(scope: Construct, cluster: ecs.Cluster) -> iam.Role:
    """What the agent of an instance may do, in this cluster only."""
    made = role(scope, "InstanceRole", "ec2.amazonaws.com")
    ours = {"ArnEquals": {"ecs:cluster": cluster.cluster_arn}}
    joining = ["ecs:RegisterContainerInstance", "ecs:DeregisterContainerInstance"]
    allow(made, [*joining, *_SUBMIT], [cluster.cluster_arn])
    instances = Stack.of(scope).format_arn(
        service="ecs", resource="container-instance", resource_name=f"{cluster.cluster_name}/*"
    )
    allow(made, [*_AGENT], [instances], conditions=ours, why="instances of this cluster")
    allow(made, ["ecs:DiscoverPollEndpoint"], ["*"], why="ECS knows no resources for it")
    return made


_SUBMIT: Final = (
    "ecs:SubmitTaskStateChange",
    "ecs:SubmitContainerStateChange",
    "ecs:SubmitAttachmentStateChanges",
)
_AGENT: Final = ("ecs:Poll", "ecs:StartTelemetrySession", "ecs:UpdateContainerInstancesState")
