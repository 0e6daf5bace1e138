"""Images for k3s nodes that have no registry: an SSM document that each node runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from aws_cdk import aws_iam as iam
from aws_cdk import aws_ssm as ssm

from stacks.constructs.role import READ, allow_objects

if TYPE_CHECKING:
    from aws_cdk import aws_s3 as s3
    from constructs import Construct

    from stacks.settings import Nodes

#: Reads the very version that was verified, hashes it on the way, and imports nothing unless whole.
SCRIPT: Final = """\
set -euo pipefail
for tool in aws k3s sha256sum zstd; do
  command -v "$tool" >/dev/null || { echo "petra: $tool is not on this node" >&2; exit 64; }
done
new=$(mktemp /var/tmp/petra.XXXXXX)
trap 'rm -f "$new"' EXIT
aws s3api get-object --bucket '{{ bucket }}' --key '{{ key }}' \\
  --version-id '{{ version }}' "$new" >/dev/null
found=$(sha256sum "$new" | cut -d' ' -f1)
[ "sha256:$found" = '{{ digest }}' ] || {
  echo "petra: expected {{ digest }}, found sha256:$found" >&2; exit 65
}
zstd -dc "$new" | k3s ctr -n k8s.io images import -
"""

_PATTERNS: Final = {
    "bucket": "^[a-z0-9.-]{3,63}$",
    "key": "^[A-Za-z0-9._/-]{1,512}$",
    "version": "^[A-Za-z0-9._-]{1,1024}$",
    "digest": "^sha256:[0-9a-f]{64}$",
}


def node_document(scope: Construct, nodes: Nodes, landing: s3.IBucket) -> ssm.CfnDocument:
    """Make the document, and let the nodes' role read what it names.

    Args:
        scope: the stack.
        nodes: settings: their role.
        landing: where the bundle is.
    """
    role = iam.Role.from_role_name(scope, "NodeRole", nodes.role)
    allow_objects(role, landing, "in/", actions=READ)
    parameters = {
        name: {"type": "String", "allowedPattern": pattern} for name, pattern in _PATTERNS.items()
    }
    step = {
        "action": "aws:runShellScript",
        "name": "importImages",
        "inputs": {"timeoutSeconds": "3600", "runCommand": SCRIPT.splitlines()},
    }
    return ssm.CfnDocument(
        scope,
        "NodeDelivery",
        document_type="Command",
        document_format="JSON",
        target_type="/AWS::EC2::Instance",
        update_method="NewVersion",
        content={
            "schemaVersion": "2.2",
            "description": "Petra: images of a verified bundle into k3s",
            "parameters": parameters,
            "mainSteps": [step],
        },
    )
