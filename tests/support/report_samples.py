"""A bundle's metadata and lock with something of everything, made by hand for tests of reports."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from petra.bundle.lock import Lock
from petra.bundle.metadata import Metadata
from petra.content.digest import Digest

MOMENT = "2026-11-20T10:00:00Z"
HOSTILE = "<script>alert(1)</script>\"'&"


def digest(text: str) -> str:
    return str(Digest.of(text.encode()))


def _keyless() -> dict[str, Any]:
    return {
        "method": "keyless",
        "identity": "https://github.com/chainguard-images/images/.github/workflows/release.yaml"
        "@refs/heads/main",
        "issuer": "https://token.actions.githubusercontent.com",
        "certificate": digest("certificate"),
        "log": {"id": "c0" * 32, "index": 123_456_789},
        "time": "2026-11-18T08:30:00Z",
        "root": digest("root"),
        "scheme": "referrer",
        "digest": digest("signature"),
    }


def _keyed() -> dict[str, Any]:
    return {"key": "ab" * 32, "scheme": "tag", "digest": digest("signature by key")}


def finding(number: int, severity: str, package: str, **more: Any) -> dict[str, Any]:
    return {
        "id": f"CVE-2099-{number:04}",
        "package": package,
        "version": "1.2.3-1",
        "severity": severity,
        **more,
    }


def _scan(subject: str, *findings: dict[str, Any], **more: Any) -> dict[str, Any]:
    counts: dict[str, int] = {}
    for one in findings:
        counts[one["severity"]] = counts.get(one["severity"], 0) + 1
    return {
        "subject": digest(subject),
        "member": f"scan/{subject}.json",
        "digest": digest(f"scan of {subject}"),
        "how": "sbom",
        "scanned": MOMENT,
        "scanner": {
            "name": "grype",
            "version": "0.110.0",
            "database": {"version": "6", "built": "2026-11-19T04:00:00Z", "ageHours": 30},
        },
        "gate": {"severities": ["high", "critical"], "fixableOnly": False},
        "counts": counts,
        "findings": [*findings],
        **more,
    }


def _image(name: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "reference": f"registry.example.com/team/{name}:1.4",
        "digest": digest(name),
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "size": 41_234_567,
        "platforms": ["linux/amd64"],
        "signatures": {"status": "done", "verified": [_keyed()]},
        "scan": {"status": "done"},
        **more,
    }


WAIVER = {
    "status": "not_affected",
    "reason": "the vulnerable code is not built",
    "source": "OpenVEX by security@example.com",
    "justification": "vulnerable_code_not_present",
    "expires": "2027-01-01T00:00:00Z",
}


def value() -> dict[str, Any]:
    """Return the metadata as a document."""
    web = _image(
        "web",
        signatures={"status": "done", "verified": [_keyless()]},
        sboms=[
            {
                "format": "spdx",
                "member": "sbom/web.json",
                "digest": digest("s"),
                "verified": _keyless(),
            }
        ],
        provenance=[
            {
                "format": "slsa",
                "member": "attestations/web.json",
                "digest": digest("p"),
                "verified": _keyless(),
            }
        ],
        scans=[
            _scan(
                "web",
                finding(1, "critical", "openssl", fixedIn=["3.0.19-2"], waiver=WAIVER),
                finding(2, "medium", "zlib", passes="its severity does not stop an image"),
            )
        ],
    )  # fmt: skip
    worker = _image(
        "worker",
        absentPlatforms=["linux/arm64"],
        noSbom="it has none, and syft is not there",
        scans=[
            _scan(
                "worker",
                finding(3, "high", "bash", fixedIn=["5.2-2"]),
                finding(4, "low", HOSTILE, passes="its severity does not stop an image"),
                how="image",
                expiredWaivers=["CVE-2099-0003 ended 2026-10-01"],
            )
        ],
    )
    legacy = _image(
        "legacy",
        signatures={"status": "skipped", "reason": f"ours, built by hand {HOSTILE}"},
        scan={"status": "skipped", "reason": "no scanner knows it"},
        uncounted=[
            {"manifest": digest("stray"), "kind": "sbom", "reason": "nobody trusted signed it"}
        ],
    )
    return {
        "apiVersion": "petra.sh/v1alpha1",
        "kind": "BundleMetadata",
        "name": "shop",
        "version": "1.4.0",
        "serial": 1_763_632_800,
        "created": MOMENT,
        "tool": {"name": "petra", "version": "0.1.0"},
        "policy": {"name": "production", "digest": digest("policy")},
        "trustedRoot": {"member": "attestations/trusted_root.json", "digest": digest("root")},
        "checks": {
            "sign": {"status": "done"},
            "verify": {"status": "done"},
            "scan": {"status": "done"},
        },
        "totals": {"members": 31, "bytes": 130_000_000, "images": 3, "charts": 1},
        "images": [web, worker, legacy],
        "charts": [
            {
                "name": "shop",
                "version": "1.4.0",
                "repo": "https://charts.example.com",
                "member": "charts/shop-1.4.0.tgz",
                "digest": digest("chart"),
                "size": 12_345,
                "provenance": {"status": "skipped", "reason": "it has none"},
            }
        ],
        "platform": [
            {"name": "cilium", "set": "base", "chart": "cilium", "version": "1.16.5"},
            {"name": "kube-bench", "set": "base"},
        ],
        "members": [],
    }


def metadata(**changes: Any) -> Metadata:
    """Return the metadata, with these fields otherwise."""
    return Metadata.model_validate({**value(), **changes}, by_alias=True, by_name=False)


def lock() -> Lock:
    """Return a lock whose three images share a base, and two of them a runtime."""
    sizes = {"base": 30_000_000, "runtime": 18_000_000, "web": 9_000_000, "worker": 4_000_000}
    layers = {
        "web": ("base", "runtime", "web"),
        "worker": ("base", "runtime", "worker"),
        "legacy": ("base",),
    }
    return Lock.model_validate(
        {
            "apiVersion": "petra.sh/v1alpha1",
            "kind": "BundleLock",
            "name": "shop",
            "version": "1.4.0",
            "serial": 1,
            "created": datetime(2026, 11, 20, 10, tzinfo=UTC).isoformat(),
            "specDigest": digest("spec"),
            "tools": {"petra": "0.1.0", "zstd": "1.5.7"},
            "images": [
                {
                    "name": name,
                    "reference": f"registry.example.com/team/{name}:1.4",
                    "root": {"mediaType": "m", "digest": digest(name), "size": 500},
                    "documents": [],
                    "layers": [
                        {"mediaType": "l", "digest": digest(one), "size": sizes[one]}
                        for one in used
                    ],
                }
                for name, used in layers.items()
            ],
        },
        by_alias=True,
        by_name=False,
    )
