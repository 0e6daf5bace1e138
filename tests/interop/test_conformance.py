"""The OCI distribution specification's own conformance suite, on our server.

What is switched off is named here: a bundle takes no pushes and no deletes; the embedded registry
takes pushes, but no deletes, no sha512 (bundles name blobs by sha256 alone) and no images whose
layers lie elsewhere (they could not travel).
"""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, Any

import yaml

from petra.oci.registry import RegistryClient
from petra.serve.repositories import MemoryRepositories
from petra.serve.server import BundleServer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.site import Site

_NO_DELETES = {
    "OCI_API_BLOBS_DELETE": "false",
    "OCI_API_MANIFESTS_DELETE": "false",
    "OCI_API_TAGS_DELETE": "false",
}
_PULL_AND_DISCOVERY = (
    *("Tag listing", "Blob get", "Blob head", "Manifest get by digest"),
    *("Manifest get by tag", "Manifest head by digest", "Manifest head by tag", "Referrers"),
    "Ping",
)
_PUSH = (
    "Blob get range",  # what it reads, it pushed itself
    *("Blob push", "Blob post only", "Blob post put", "Blob chunked", "Blob streaming"),
    *("Blob mount", "Manifest put by digest", "Manifest put by tag", "Manifest put with subject"),
)


def _run(program: Path, host: str, folder: Path, **settings: str) -> tuple[dict[str, str], str]:
    """Run the suite; return how each API did, and all that it printed."""
    environment = {
        **os.environ,
        **_NO_DELETES,
        "OCI_REGISTRY": host,
        "OCI_TLS": "disabled",
        "OCI_RESULTS_DIR": str(folder / "results"),
        **settings,
    }
    result = subprocess.run(
        [program], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    output = result.stdout + result.stderr
    _, found, summary = result.stdout.partition("API conformance:")
    assert found, output
    lines = [line.partition(":") for line in summary.splitlines() if ".:" in line]
    return {name.strip(" ."): verdict.strip() for name, _, verdict in lines}, output


def test_a_served_bundle_passes_pull_and_discovery(
    site: Site, served: str, tools: Callable[[str], Path], tmp_path: Path
) -> None:
    name, image = "shop/worker", site.images["shop/worker:1.4"]
    with RegistryClient() as client:
        repository = client.repository(served, name)
        manifest = repository.fetch_manifest(str(image.digest))
        referrers = repository.referrers(image)
    assert referrers
    verdicts, output = _run(
        tools("conformance"),
        served,
        tmp_path,
        OCI_REPO1=name,
        OCI_API_PUSH="false",
        OCI_RO_DATA_TAGS="1.4",
        OCI_RO_DATA_MANIFESTS=str(image.digest),
        OCI_RO_DATA_BLOBS=" ".join(str(part.digest) for part in manifest.successors()),
        OCI_RO_DATA_REFERRERS=str(image.digest),
    )
    wrong = {api: verdict for api, verdict in verdicts.items() if verdict in ("FAIL", "Error")}
    assert wrong == {}, output
    passed = {api for api, verdict in verdicts.items() if verdict == "Pass"}
    assert passed >= set(_PULL_AND_DISCOVERY), output


def test_the_embedded_registry_passes_push_too(
    tools: Callable[[str], Path], tmp_path: Path
) -> None:
    with BundleServer("127.0.0.1", 0, MemoryRepositories(), writable=True) as server:
        verdicts, output = _run(
            tools("conformance"),
            server.host,
            tmp_path,
            OCI_DATA_SHA512="false",
            OCI_DATA_NONDISTRIBUTABLE="false",
        )
    wrong = {api: verdict for api, verdict in verdicts.items() if verdict in ("FAIL", "Error")}
    assert wrong == {}, output
    passed = {api for api, verdict in verdicts.items() if verdict == "Pass"}
    assert passed >= {*_PULL_AND_DISCOVERY, *_PUSH}, output
    assert (tmp_path / "results" / "results.yaml").exists()


def test_the_suite_fails_a_server_that_refuses_what_it_asks(
    tools: Callable[[str], Path], tmp_path: Path
) -> None:
    with BundleServer("127.0.0.1", 0, MemoryRepositories()) as server:
        _, output = _run(tools("conformance"), server.host, tmp_path)
    results: dict[str, Any] = yaml.safe_load((tmp_path / "results" / "results.yaml").read_text())
    assert results, output
    assert "FAIL" in output
