"""``make demo``: create, verify, inspect and serve a bundle, with nothing outside this machine.

A registry and a chart repository run inside this process, filled with small real images and a
chart. Everything else is the ``petra`` command, as a user calls it. Each step checks what came
out; the exit status is 1 if one is not as it should be.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import urllib3

from demo.content import release
from demo.source import CHART_FILE, Source, connected_side, disconnected_side
from demo.stage import PASSWORD, DemoError, Stage, expect
from petra.encoding.yaml import dump_yaml
from petra.errors import PetraError
from petra.oci.copy import copy_graph
from petra.oci.memory import MemoryTarget
from petra.oci.registry import RegistryClient
from petra.trust.keys import load_private_key
from petra.trust.signer import LocalSigner

_BUNDLE = "dist/shop-1.4.0.tar.zst"
_VERIFICATION_FAILED = 3


def _keys(stage: Stage) -> LocalSigner:
    stage.step(
        "Two key pairs in cosign's format: the vendor's, which signs images, and ours, which "
        "signs bundles."
    )
    stage.petra("keygen", "--prefix", "vendor")
    stage.petra("keygen", "--prefix", "ours")
    pem = (stage.folder / "vendor.key").read_bytes()
    key = load_private_key(pem, PASSWORD.encode(), where="vendor.key")
    expect(what="both private keys are there", holds=(stage.folder / "ours.key").exists())
    return LocalSigner(key)


def _spec(source: Source, *images: str) -> bytes:
    listed = [
        {"name": image.split("/")[1].split(":")[0], "image": f"{source.host}/{image}"}
        for image in images
    ]
    charts = [{"name": "shop", "repo": source.charts, "version": "1.4.0"}]
    return dump_yaml(
        {
            "apiVersion": "petra.sh/v1alpha1",
            "kind": "Bundle",
            "metadata": {"name": "shop", "version": "1.4.0"},
            "spec": {
                "images": listed,
                "charts": charts,
                "platform": {"includeBase": True, "path": "manifests"},
                "verify": {"key": "vendor.pub"},
            },
        }
    )


def _manifests(stage: Stage, source: Source) -> None:
    """Write what a cluster is to run: a HelmRelease of Flux's, and where its chart is."""
    path = stage.folder / "manifests" / "base" / "shop.yaml"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"---\n".join(map(dump_yaml, release("shop", "1.4.0", source.charts))))


def _create(stage: Stage, source: Source) -> None:
    _manifests(stage, source)
    spec = _spec(source, *source.images)
    (stage.folder / "bundle.yaml").write_bytes(spec)
    stage.step(
        "A spec names two images by tag (one for two platforms, signed in cosign's older form; "
        "one signed in its newer form), a chart, and the manifests that make Flux run it. This is "
        "bundle.yaml:"
    )
    stage.show(spec.decode())
    stage.step("One command resolves, verifies, packs and signs, in one pass.")
    stage.petra("bundle", "create", "-f", "bundle.yaml", "--key", "ours.key")
    names = [_BUNDLE + ending for ending in ("", ".sig", ".sigstore.json", ".intoto.json")]
    expect(
        what="bundle, signature, Sigstore bundle and provenance are there",
        holds=all((stage.folder / name).is_file() for name in names),
    )


def _verify(stage: Stage) -> None:
    stage.step("The receiver checks the signature, and every member against its digest.")
    stage.petra("bundle", "verify", "-f", _BUNDLE, "--key", "ours.pub")
    stage.step("One flipped bit anywhere is found; the exit status is 3.")
    data = bytearray((stage.folder / _BUNDLE).read_bytes())
    data[len(data) // 2] ^= 1
    (stage.folder / "broken.tar.zst").write_bytes(data)
    signature = f"{_BUNDLE}.sig"
    arguments = ("-f", "broken.tar.zst", "--key", "ours.pub", "--signature", signature)
    stage.petra("bundle", "verify", *arguments, status=_VERIFICATION_FAILED)
    expect(what="the damaged copy is refused", holds=True)


def _inspect(stage: Stage, source: Source) -> None:
    stage.step("What is in it can be seen at once, whatever its size; nothing is unpacked.")
    stage.petra("bundle", "inspect", "-f", _BUNDLE)
    arguments = ("-f", _BUNDLE, "--output", "json")
    listed = json.loads(stage.petra("bundle", "inspect", *arguments, show=False))
    found = set(_texts(listed))
    expect(
        what="it names the digests that the registry has",
        holds={str(image.digest) for image in source.images.values()} <= found,
    )


def _texts(value: Any) -> list[str]:
    """Return every text in a JSON value."""
    if isinstance(value, dict):
        return [text for part in value.values() for text in _texts(part)]
    if isinstance(value, list):
        return [text for part in value for text in _texts(part)]
    return [value] if isinstance(value, str) else []


def _serve(stage: Stage, source: Source) -> None:
    stage.step(
        "On the other side the one file is a registry and a chart repository: a cluster can "
        "start from it."
    )
    arguments = ("-f", _BUNDLE, "--key", "ours.pub", "--listen", "127.0.0.1:0")
    with stage.serving("bundle", "serve", *arguments) as host, RegistryClient() as client:
        for image, descriptor in source.images.items():
            name = f"{source.host}/{image.split(':')[0]}"
            repository = client.repository(host, image.split(":")[0])
            target = MemoryTarget()
            found = repository.resolve(str(descriptor.digest))
            copy_graph(repository, target, found)
            expect(
                what=f"{name}@{descriptor.digest.hex[:12]}… comes back whole, digest unchanged",
                holds=target.exists(descriptor) and found.digest == descriptor.digest,
            )
        url = f"http://{host}/charts/{CHART_FILE}"
        chart = urllib3.request("GET", url, timeout=10).data
        expect(what=f"{url} is the vendor's chart, byte for byte", holds=chart == source.chart)


def _refuse_unsigned(stage: Stage, source: Source) -> None:
    stage.step("An image that nobody signed does not get in, and no half bundle is left behind.")
    (stage.folder / "unsigned.yaml").write_bytes(_spec(source, "shop/unsigned:1.4"))
    arguments = ("-f", "unsigned.yaml", "--key", "ours.key", "--output-dir", "refused")
    stage.petra("bundle", "create", *arguments, status=_VERIFICATION_FAILED)
    left = list((stage.folder / "refused").glob("*"))
    expect(what="nothing was left behind", holds=not left)


def _load(stage: Stage, source: Source) -> None:
    stage.step(
        "And loaded: images, chart and manifests go into the registry of the disconnected side; "
        "the manifests last, signed with that side's own key, since a cluster follows them."
    )
    stage.petra("keygen", "--prefix", "local", show=False)
    with disconnected_side() as there, RegistryClient() as client:
        arguments = (
            *("-f", _BUNDLE, "--key", "ours.pub", "--sign-key", "local.key"),
            *("--images-to", f"registry://{there}/mirror", "--charts-to", f"oci://{there}/charts"),
            *("--manifests-to", f"oci://{there}/platform", "--allow-skipped", "scan"),
        )
        stage.petra("bundle", "load", *arguments, "--dry-run")
        stage.petra("bundle", "load", *arguments)
        for image, descriptor in source.images.items():
            repository, _, tag = image.partition(":")
            found = client.repository(there, f"mirror/{repository}").resolve(tag)
            expect(
                what=f"{there}/mirror/{image} is there, digest unchanged",
                holds=found.digest == descriptor.digest,
            )
        platform = client.repository(there, "platform")
        expect(
            what="the cluster's channel, stable, stands for the manifests of version 1.4.0",
            holds=platform.resolve("stable").digest == platform.resolve("1.4.0").digest,
        )
        stage.step("The ledger remembers: the same bundle again is verified, and nothing is sent.")
        again = stage.petra("bundle", "load", *arguments)
        expect(what="it says so", holds=again.startswith("already loaded"))


def main() -> int:
    """Run all steps; return the exit status."""
    with tempfile.TemporaryDirectory(prefix="petra-demo-") as folder:
        stage = Stage(Path(folder))
        try:
            vendor = _keys(stage)
            with connected_side(vendor) as source:
                _create(stage, source)
                _verify(stage)
                _inspect(stage, source)
                _serve(stage, source)
                _refuse_unsigned(stage, source)
                _load(stage, source)
        except (DemoError, PetraError) as error:
            print(f"\n✗ {error}", file=sys.stderr)
            return 1
    print("\nThat was the whole job: one signed file, made, checked, read, served and loaded.")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
