"""What the disconnected side keeps: buckets, the ledger, its own signing key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aws_cdk import Stack
from aws_cdk import aws_iam as iam

from stacks.constructs.encryption import encryption_key, signing_key
from stacks.constructs.role import READ, allow_list, allow_objects
from stacks.constructs.storage import Buckets, table

if TYPE_CHECKING:
    from aws_cdk import aws_s3 as s3
    from constructs import Construct

    from stacks.settings import ClassifiedSide

#: What Flux reads of the depot.
_PUBLISHED = ("manifests/", "published/", "charts/")


class ClassifiedData(Stack):
    """The stateful stack of the disconnected side.

    Args:
        scope: the app.
        construct_id: the stack's.
        side: settings.
        stack: further properties of the stack.

    Attributes:
        key: encrypts what is kept here.
        signing: signs the manifests that Flux reads; never a bundle.
        landing: what has crossed.
        quarantine: what was refused, for people to look at.
        depot: manifests for Flux, ``runs/`` and ``status/``.
        ledger: which bundles were loaded, by name and signer.
        idempotency: Powertools' records.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, side: ClassifiedSide, **stack: Any
    ) -> None:
        super().__init__(scope, construct_id, **stack)
        self.key = encryption_key(self, "Key", side, "what the disconnected side keeps")
        self.signing = signing_key(self, side)
        buckets = Buckets(self, side, self.key)
        self.landing = buckets.make("Landing", events=True)
        self.quarantine = buckets.make("Quarantine")
        self.depot = buckets.make("Depot", runs=True)
        self.ledger = table(self, "Ledger", side, self.key, sort=True)
        self.idempotency = table(self, "Idempotency", side, self.key, sort=False)
        if side.sender:
            self._let_in(side.sender, self.landing)
        for index, reader in enumerate(side.depot_readers):
            principal = iam.Role.from_role_arn(self, f"Reader{index}", reader)
            allow_objects(
                principal, self.depot, "manifests/", "published/", "charts/", actions=READ
            )
            allow_list(principal, self.depot, "manifests/", "published/", "charts/")

    def _let_in(self, sender: str, landing: s3.Bucket) -> None:
        """One principal may write new objects, and neither read, list nor replace."""
        who = [iam.ArnPrincipal(sender)]
        through = f"s3.{self.region}.{self.url_suffix}"
        landing.add_to_resource_policy(
            iam.PolicyStatement(
                sid="SenderWritesOnly",
                principals=who,
                actions=["s3:PutObject"],
                resources=[landing.arn_for_objects("in/*")],
            )
        )
        self.key.add_to_resource_policy(
            iam.PolicyStatement(
                sid="SenderEncrypts",
                principals=who,
                actions=["kms:GenerateDataKey", "kms:Decrypt"],
                resources=["*"],
                conditions={"StringEquals": {"kms:ViaService": through}},
            )
        )
