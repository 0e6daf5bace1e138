"""The platform: Flux manifests in the bundle, their charts, images, digests and sources.

In the order in which ``create`` needs them::

    files = localise_sources(load_platform(base=True, observability=True))
    require_local(files)
    charts = required_charts(releases(files))        # into the bundle, and then
    needed = needed_images(files, {(name, version): data, …})
    require_images(needed, listed)                   # names what spec.images lacks
    files = apply_overrides(files, needed, {"quay.io/cilium/cilium:v1.16.5": "sha256:…", …})

and, on the other side, ``load`` calls ``substitute_charts(files, "registry.local:5000/charts")``.
"""

from __future__ import annotations

from petra.bundle.platform_files import (
    PARTS,
    SUBSTITUTION,
    Manifest,
    PlatformFiles,
    load_platform,
    shipped_manifests,
    substitute_charts,
)
from petra.bundle.platform_images import (
    MissingImage,
    NeededImages,
    find_missing,
    missing_report,
    needed_images,
    paste_ready,
    require_images,
)
from petra.bundle.platform_overrides import apply_overrides
from petra.bundle.platform_releases import Release, releases, required_charts
from petra.bundle.platform_sources import (
    SourceURL,
    localise_sources,
    require_local,
    source_urls,
)

__all__ = [
    "PARTS",
    "SUBSTITUTION",
    "Manifest",
    "MissingImage",
    "NeededImages",
    "PlatformFiles",
    "Release",
    "SourceURL",
    "apply_overrides",
    "find_missing",
    "load_platform",
    "localise_sources",
    "missing_report",
    "needed_images",
    "paste_ready",
    "releases",
    "require_images",
    "require_local",
    "required_charts",
    "shipped_manifests",
    "source_urls",
    "substitute_charts",
]
