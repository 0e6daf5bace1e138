"""What the connected side keeps: buckets, the signing key, the table of locks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aws_cdk import Stack

from stacks.constructs.encryption import encryption_key, signing_key
from stacks.constructs.storage import Buckets, table

if TYPE_CHECKING:
    from constructs import Construct

    from stacks.settings import ConnectedSide


class ConnectedData(Stack):
    """The stateful stack of the connected side.

    Args:
        scope: the app.
        construct_id: the stack's.
        side: settings.
        stack: further properties of the stack.

    Attributes:
        key: encrypts what is kept here.
        signing: signs bundles.
        staging: specs come in, ``runs/`` and ``status/`` of each.
        outbox: finished bundles, ready to cross.
        evidence: what was done, under Object Lock.
        idempotency: Powertools' records, and one lock for each name and version.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, side: ConnectedSide, **stack: Any
    ) -> None:
        super().__init__(scope, construct_id, **stack)
        self.key = encryption_key(self, "Key", side, "what the connected side keeps")
        self.signing = signing_key(self, side)
        buckets = Buckets(self, side, self.key)
        self.staging = buckets.make("Staging", events=True, runs=True)
        self.outbox = buckets.make("Outbox")
        self.evidence = buckets.make("Evidence", lock=side.evidence)
        self.idempotency = table(self, "Idempotency", side, self.key, sort=False)
