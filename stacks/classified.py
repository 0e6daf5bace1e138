"""The disconnected side's pipeline: an object in the landing bucket → a reconciled cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aws_cdk import CfnOutput, Stack

from petra.aws.metrics import Side
from stacks.constructs.alarms import Alarms
from stacks.constructs.dashboard import dashboard
from stacks.constructs.encryption import allow_logs, allow_services, encryption_key
from stacks.constructs.function import Functions
from stacks.constructs.layers import Layers
from stacks.constructs.machine import Work, machine, start
from stacks.constructs.network import COMMON, LOADING, placement
from stacks.constructs.nodes import node_document
from stacks.constructs.role import (
    READ,
    READ_TAGS,
    TAG,
    WRITE,
    allow,
    allow_items,
    allow_key,
    allow_list,
    allow_objects,
    allow_secrets,
)
from stacks.constructs.topics import Topics

if TYPE_CHECKING:
    from aws_cdk import aws_iam as iam
    from aws_cdk import aws_lambda as lambda_
    from aws_cdk import aws_ssm as ssm
    from constructs import Construct

    from stacks.classified_data import ClassifiedData
    from stacks.settings import ClassifiedSide, Nodes

_HOURS = 24
_PULL = (
    "ecr:BatchGetImage",
    "ecr:GetDownloadUrlForLayer",
    "ecr:BatchCheckLayerAvailability",
    "ecr:DescribeImages",
    "ecr:DescribeRepositories",
    "ecr:ListImages",
)
_PUSH = (
    "ecr:CreateRepository",
    "ecr:InitiateLayerUpload",
    "ecr:UploadLayerPart",
    "ecr:CompleteLayerUpload",
    "ecr:PutImage",
)


class Classified(Stack):
    """The stateless stack of the disconnected side.

    Args:
        scope: the app.
        construct_id: the stack's.
        side: settings.
        data: the side's stateful stack.
        stack: further properties of the stack.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        side: ClassifiedSide,
        data: ClassifiedData,
        **stack: Any,
    ) -> None:
        super().__init__(scope, construct_id, **stack)
        self._side = side
        self._data = data
        self.key = encryption_key(self, "Key", side, "queues, topics and logs, disconnected side")
        allow_logs(self.key, f"/petra/{self.stack_name}/*")
        allow_services(self.key, "events.amazonaws.com", "cloudwatch.amazonaws.com")
        self.topics = Topics.make(self, self.key)
        place = placement(self, side.network, (*COMMON, *LOADING)) if side.network else None
        inside = place if side.network and side.network.functions else None
        self.functions = Functions(
            self, side, Layers.make(self, side), self.key, self._environment(), inside
        )
        nodes = side.nodes
        self._document = node_document(self, nodes, data.landing) if nodes else None
        self.machine = machine(
            self, side, self.key, Work("load", self._functions(), self._values(), {}, _HOURS)
        )
        if nodes and self._document:
            self._allow_nodes(self._document, nodes)
        self.start = start(self.functions, self.machine, data.landing, ("in/",), self.key)
        alarms = Alarms(self, Side.CLASSIFIED, self.topics, side.thresholds)
        alarms.own()
        alarms.machine(self.machine)
        alarms.dead_letters(self.start.dead)
        dashboard(self, Side.CLASSIFIED, self.machine, alarms.made)
        self._outputs()

    def _environment(self) -> dict[str, str]:
        data = self._data
        return {
            "PETRA_SIDE": Side.CLASSIFIED.value,
            "PETRA_SETTINGS": self._side.run.model_dump_json(exclude_none=True),
            "PETRA_LANDING": data.landing.bucket_name,
            "PETRA_QUARANTINE": data.quarantine.bucket_name,
            "PETRA_DEPOT": data.depot.bucket_name,
            "PETRA_LEDGER_TABLE": data.ledger.table_name,
            "PETRA_IDEMPOTENCY_TABLE": data.idempotency.table_name,
            "PETRA_SIGNING_KEY": f"awskms:///{data.signing.key_arn}",
            **self.topics.environment(),
        }

    def _values(self) -> dict[str, str]:
        """Return what the definition needs; without nodes it never comes to the document."""
        nodes, run, document = self._side.nodes, self._side.run, self._document
        values = {
            "DeliverToNodes": "false",
            "NodeDocument": "none",
            "NodeTag": "none",
            "NodeValue": "none",
            "PollSeconds": str(run.poll_seconds),
            "DeadlineMinutes": str(run.release_minutes),
        }
        if nodes and document:
            values |= {
                "DeliverToNodes": "true",
                "NodeDocument": document.ref,
                "NodeTag": nodes.tag,
                "NodeValue": nodes.value,
            }
        return values

    def _functions(self) -> dict[str, lambda_.Function]:
        make = self.functions.make
        made = {
            "CheckArrival": make("check_arrival"),
            "VerifyBundle": make("verify_bundle", large=True),
            "LoadImage": make("load_image", large=True),
            "LoadCharts": make("load_charts", large=True),
            "PublishPlatform": make("publish_platform", large=True),
            "NotifyCluster": make("notify_cluster"),
            "PollReleases": make("poll_releases"),
            "ReportLoad": make("report_load"),
        }
        for function in made.values():
            self._allow_run(function)
        self._allow_bundle(made)
        self._allow_ledger(
            *(made[name] for name in ("VerifyBundle", "LoadCharts", "PublishPlatform")),
            *(made[name] for name in ("NotifyCluster", "PollReleases")),
        )
        self._allow_registry(
            *(made[name] for name in ("VerifyBundle", "LoadImage", "LoadCharts", "PublishPlatform"))
        )
        self._allow_cluster(made["NotifyCluster"], made["PollReleases"])
        self._allow_results(made)
        return made

    def _allow_run(self, to: iam.IGrantable) -> None:
        depot = self._data.depot
        allow_objects(to, depot, "runs/", "status/", actions=[*READ, *WRITE])
        allow_list(to, depot, "runs/", "status/")
        allow_items(to, self._data.idempotency)

    def _allow_bundle(self, made: dict[str, lambda_.Function]) -> None:
        data = self._data
        for name in ("CheckArrival", "VerifyBundle", "LoadImage", "LoadCharts", "PublishPlatform"):
            allow_objects(made[name], data.landing, "in/", actions=READ)
        for name in ("CheckArrival", "VerifyBundle"):
            allow_list(made[name], data.landing, "in/")
        allow_objects(made["VerifyBundle"], data.quarantine, "", actions=[*READ, *WRITE, *TAG])
        allow_objects(made["VerifyBundle"], data.landing, "in/", actions=READ_TAGS)

    def _allow_ledger(self, *to: iam.IGrantable) -> None:
        for each in to:
            allow_items(each, self._data.ledger)

    def _allow_registry(self, *to: iam.IGrantable) -> None:
        run = self._side.run
        for each in to:
            if run.registry == "ecr":
                below = f"{run.prefix}/*" if run.prefix else "*"
                repositories = self.format_arn(
                    service="ecr", resource="repository", resource_name=below
                )
                allow(each, [*_PULL, *_PUSH], [repositories], why="repositories of the prefix")
                allow(each, ["ecr:GetAuthorizationToken"], ["*"], why="it knows no resources")
            if run.registry_secret:
                allow_secrets(self, each, run.registry_secret)

    def _allow_cluster(self, *to: iam.IGrantable) -> None:
        cluster = self._side.run.cluster
        names = [cluster.secret, cluster.receiver_secret] if cluster else []
        for each in to:
            if found := [name for name in names if name]:
                allow_secrets(self, each, *found)

    def _allow_results(self, made: dict[str, lambda_.Function]) -> None:
        data = self._data
        published = ("manifests/", "published/", "charts/")
        for name in ("LoadCharts", "PublishPlatform"):
            allow_objects(made[name], data.depot, *published, actions=[*READ, *WRITE])
            allow_list(made[name], data.depot, *published)
        allow_objects(
            made["PublishPlatform"], data.depot, *published[:2], actions=["s3:DeleteObject"]
        )
        allow(made["PublishPlatform"], ["kms:Sign", "kms:GetPublicKey"], [data.signing.key_arn])
        allow_list(made["ReportLoad"], data.quarantine, "")
        allow(made["ReportLoad"], ["sns:Publish"], self.topics.arns())
        allow_key(made["ReportLoad"], self.key, writes=True)

    def _allow_nodes(self, document: ssm.CfnDocument, nodes: Nodes) -> None:
        """Let the machine send the document to the nodes that the settings tag, and no other."""
        role = self.machine.role
        instances = self.format_arn(service="ec2", resource="instance", resource_name="*")
        tagged = {"StringEquals": {f"aws:ResourceTag/{nodes.tag}": nodes.value}}
        named = self.format_arn(service="ssm", resource="document", resource_name=document.ref)
        allow(role, ["ssm:SendCommand"], [instances], conditions=tagged, why="nodes with the tag")
        allow(role, ["ssm:SendCommand"], [named])
        allow(role, ["ssm:ListCommands"], ["*"], why="SSM knows no resources for it")

    def _outputs(self) -> None:
        data = self._data
        for name, value in {
            "LandingBucket": data.landing.bucket_name,
            "QuarantineBucket": data.quarantine.bucket_name,
            "DepotBucket": data.depot.bucket_name,
            "LedgerTable": data.ledger.table_name,
            "SigningKeyArn": data.signing.key_arn,
            **self.topics.outputs(),
            "DeadLettersUrl": self.start.dead.queue_url,
            "MachineArn": self.machine.state_machine_arn,
            "DashboardName": self.stack_name,
        }.items():
            CfnOutput(self, name, value=value)
