"""The VPC that exists: its subnets, one security group, and endpoints where the setting says so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aws_cdk import aws_ec2 as ec2

from stacks.constructs.function import Placement

if TYPE_CHECKING:
    from collections.abc import Sequence

    from constructs import Construct

    from stacks.settings import Network

#: Interface endpoints by the names that every partition uses.
COMMON: Final = ("states", "kms", "logs", "monitoring", "sns", "sqs", "xray", "secretsmanager")
TASK: Final = ("ecr.api", "ecr.dkr", "ecs", "ecs-agent", "ecs-telemetry")
LOADING: Final = ("ecr.api", "ecr.dkr", "ssm")


def placement(scope: Construct, network: Network, services: Sequence[str]) -> Placement:
    """Return where functions and tasks run; nothing is looked up.

    Args:
        scope: the stack.
        network: settings.
        services: interface endpoints to make, where `network.endpoints`.
    """
    vpc = ec2.Vpc.from_vpc_attributes(
        scope,
        "Vpc",
        vpc_id=network.vpc,
        availability_zones=[*network.availability_zones],
        private_subnet_ids=[*network.subnets],
        vpc_cidr_block=network.cidr,
    )
    group = ec2.SecurityGroup(
        scope, "Traffic", vpc=vpc, description="Petra: outbound only", allow_all_outbound=True
    )
    subnets = ec2.SubnetSelection(subnets=vpc.private_subnets)
    if network.endpoints:
        _endpoints(scope, vpc, network, subnets, services)
    return Placement(vpc, subnets, group)


def _endpoints(
    scope: Construct,
    vpc: ec2.IVpc,
    network: Network,
    subnets: ec2.SubnetSelection,
    services: Sequence[str],
) -> None:
    """Make interface endpoints. Gateways (S3, DynamoDB) belong to route tables, so to the VPC."""
    doors = ec2.SecurityGroup(
        scope, "Endpoints", vpc=vpc, description="Petra: HTTPS to AWS", allow_all_outbound=False
    )
    doors.add_ingress_rule(ec2.Peer.ipv4(network.cidr), ec2.Port.tcp(443), "HTTPS of the VPC")
    for name in dict.fromkeys(services):
        ec2.InterfaceVpcEndpoint(
            scope,
            f"Endpoint{name.title().replace('.', '').replace('-', '')}",
            vpc=vpc,
            service=ec2.InterfaceVpcEndpointAwsService(name),
            subnets=subnets,
            security_groups=[doors],
            private_dns_enabled=True,
        )
