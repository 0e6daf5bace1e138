"""Every setting there is, and the three ways to give each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

_Kind = Literal["text", "location", "list", "map", "number"]


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting, and the three ways to give it.

    Attributes:
        flag: the command line's option.
        key: its dotted path in the configuration file.
        what: what it is, as errors and help name it.
        kind: ``location`` is a path or a URI; a ``list`` has commas in its variable, a ``map``
            ``NAME=VALUE`` parts.
        metavar: what help shows for the value.
    """

    flag: str
    variable: str
    key: str
    what: str
    kind: _Kind
    metavar: str
    help: str


SETTINGS: Final[Mapping[str, Setting]] = {
    "key": Setting(
        "--key",
        "PETRA_KEY",
        "key",
        "signing key",
        "location",
        "KEY",
        "Private key that signs the bundle: a file (cosign's, or plain PEM), or awskms:///….",
    ),
    "verify_key": Setting(
        "--key",
        "PETRA_VERIFY_KEY",
        "verifyKey",
        "public key of the bundle's sender",
        "location",
        "KEY",
        "Public key (PEM) that the bundle must be signed with.",
    ),
    "image_key": Setting(
        "--image-key",
        "PETRA_IMAGE_KEY",
        "imageKey",
        "public key for images",
        "location",
        "KEY",
        "Public key (PEM) for images whose verification the spec leaves open.",
    ),
    "policy": Setting(
        "--policy",
        "PETRA_POLICY",
        "policy",
        "policy",
        "location",
        "FILE",
        "The policy that bundles must keep to.",
    ),
    "trusted_root": Setting(
        "--trusted-root",
        "PETRA_TRUSTED_ROOT",
        "trustedRoot",
        "trusted root",
        "location",
        "FILE",
        "Sigstore's trusted_root.json for keyless signatures, instead of the one with Petra.",
    ),
    "output_dir": Setting(
        "--output-dir",
        "PETRA_OUTPUT_DIR",
        "outputDir",
        "output folder",
        "location",
        "DIR",
        "Folder to write to, instead of the spec's output.dir.",
    ),
    "custody": Setting(
        "--custody",
        "PETRA_CUSTODY",
        "custody",
        "custody log",
        "location",
        "FILE",
        "Add what is done to this custody log.",
    ),
    "custody_key": Setting(
        "--custody-key",
        "PETRA_CUSTODY_KEY",
        "custodyKey",
        "key that seals the custody log",
        "location",
        "KEY",
        "Private key that seals the custody log; the signing key, where a command has one.",
    ),
    "custody_from": Setting(
        "--custody-from",
        "PETRA_CUSTODY_FROM",
        "custodyFrom",
        "custody log to go on from",
        "location",
        "FILE",
        "The log that a new custody log goes on from: the sender's, as it arrived.",
    ),
    "store": Setting(
        "--store",
        "PETRA_STORE",
        "store",
        "content store",
        "location",
        "DIR",
        "Keep blobs in this OCI layout, and take from it what is there already.",
    ),
    "insecure_registries": Setting(
        "--insecure-registry",
        "PETRA_INSECURE_REGISTRIES",
        "registries.insecure",
        "insecure registries",
        "list",
        "HOST",
        "Speak plain HTTP to this registry (HOST or HOST:PORT). Loopback needs none.",
    ),
    "mirrors": Setting(
        "--mirror",
        "PETRA_MIRRORS",
        "registries.mirrors",
        "mirrors",
        "map",
        "HOST=MIRROR",
        "Ask this mirror first, and the registry for what it lacks.",
    ),
    "ca_file": Setting(
        "--ca-file",
        "PETRA_CA_FILE",
        "registries.caFile",
        "CA certificates",
        "location",
        "FILE",
        "CA certificates (PEM) that registries are checked against.",
    ),
    "connections": Setting(
        "--connections",
        "PETRA_CONNECTIONS",
        "registries.connections",
        "number of connections",
        "number",
        "N",
        "Connections that fetch at once.",
    ),
    "images_to": Setting(
        "--images-to",
        "PETRA_IMAGES_TO",
        "load.imagesTo",
        "destination for images",
        "list",
        "WHERE",
        "Where images go: registry://HOST[:PORT][/PREFIX], k3s, containerd, or layout:DIR.",
    ),
    "charts_to": Setting(
        "--charts-to",
        "PETRA_CHARTS_TO",
        "load.chartsTo",
        "destination for charts",
        "location",
        "WHERE",
        "Where charts go: oci://HOST[:PORT][/PREFIX], or the folder of a chart repository.",
    ),
    "manifests_to": Setting(
        "--manifests-to",
        "PETRA_MANIFESTS_TO",
        "load.manifestsTo",
        "destination for the platform's manifests",
        "location",
        "WHERE",
        "Where the platform's manifests go: oci://HOST[:PORT]/REPOSITORY, or a folder.",
    ),
    "sign_key": Setting(
        "--sign-key",
        "PETRA_SIGN_KEY",
        "load.signKey",
        "local signing key",
        "location",
        "KEY",
        "Private key of this side, which signs the manifests for the cluster: a file, or awskms:///….",
    ),
    "channel": Setting(
        "--channel",
        "PETRA_CHANNEL",
        "load.channel",
        "channel",
        "text",
        "TAG",
        "The tag that the cluster follows in the repository of manifests; stable by default.",
    ),
    "cluster_registry": Setting(
        "--cluster-registry",
        "PETRA_CLUSTER_REGISTRY",
        "load.clusterRegistry",
        "registry as the cluster knows it",
        "text",
        "HOST/PREFIX",
        "How the cluster reaches the charts, where it knows their registry by another name.",
    ),
    "cluster_secret": Setting(
        "--cluster-secret",
        "PETRA_CLUSTER_SECRET",
        "load.clusterSecret",
        "Secret for the registry",
        "text",
        "NAME",
        "Secret (dockerconfigjson) in the cluster with which it reads the charts' registry.",
    ),
    "cluster_ca_secret": Setting(
        "--cluster-ca-secret",
        "PETRA_CLUSTER_CA_SECRET",
        "load.clusterCaSecret",
        "Secret with the registry's CA",
        "text",
        "NAME",
        "Secret in the cluster with the ca.crt that the charts' registry is checked against.",
    ),
    "bootstrap": Setting(
        "--bootstrap",
        "PETRA_BOOTSTRAP",
        "load.bootstrap",
        "first deployment",
        "text",
        "k3s",
        "Give a fresh server what comes before Flux: k3s, or k3s:DIR for another data folder.",
    ),
    "ledger": Setting(
        "--ledger",
        "PETRA_LEDGER",
        "load.ledger",
        "ledger",
        "location",
        "DIR",
        "Folder that remembers what was loaded; ~/.local/state/petra/ledger by default.",
    ),
    "allow_skipped": Setting(
        "--allow-skipped",
        "PETRA_ALLOW_SKIPPED",
        "load.allowSkipped",
        "list of steps that may have been skipped",
        "list",
        "STEP,…",
        "Take a bundle whose sender skipped these steps, and no others: sign, verify, scan, sbom, "
        "provenance.",
    ),
    "kubeconfig": Setting(
        "--kubeconfig",
        "PETRA_KUBECONFIG",
        "cluster.kubeconfig",
        "kubeconfig",
        "location",
        "FILE",
        "Kubeconfig of the cluster, or `in-cluster` for the service account of this pod.",
    ),
    "flux_receiver": Setting(
        "--flux-receiver",
        "PETRA_FLUX_RECEIVER",
        "cluster.receiver",
        "Receiver of Flux's",
        "location",
        "URL",
        "Flux's Receiver (generic-hmac) to call: https://HOST[/PREFIX]/NAMESPACE/NAME.",
    ),
    "flux_receiver_token": Setting(
        "--flux-receiver-token-file",
        "PETRA_FLUX_RECEIVER_TOKEN_FILE",
        "cluster.receiverTokenFile",
        "token of the Receiver",
        "location",
        "FILE",
        "File with its token; or PETRA_FLUX_RECEIVER_TOKEN holds the token itself.",
    ),
    "pipeline": Setting(
        "--bucket",
        "PETRA_PIPELINE",
        "pipeline",
        "pipeline's bucket",
        "location",
        "s3://BUCKET",
        "The pipeline's staging bucket; on the other side its depot, for `status`.",
    ),
}
