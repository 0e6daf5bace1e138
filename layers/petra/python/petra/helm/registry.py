"""Charts in OCI registries."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from petra.content.stream import VerifyReader, fetch_document
from petra.errors import ContentRefusedError, FormatError, NotFoundError, UsageError
from petra.helm.tarball import COMPRESSED_LIMIT
from petra.oci.manifest import parse_manifest
from petra.oci.media_types import HELM_CHART, HELM_CONFIG, HELM_PROVENANCE
from petra.oci.reference import Reference

if TYPE_CHECKING:
    from petra.content.descriptor import Descriptor
    from petra.content.digest import Digest
    from petra.content.protocols import ReadOnlyTarget
    from petra.oci.manifest import Manifest

#: What Helm 3.0 to 3.6 called a chart's layer.
LEGACY_CHART_TYPE = "application/tar+gzip"


class Registries(Protocol):
    """Opens repositories by registry and name; petra.oci.registry.RegistryClient is one."""

    def repository(self, registry: str, repository: str, /) -> ReadOnlyTarget:
        """Return the repository."""
        ...


@dataclass(frozen=True, slots=True)
class OciChart:
    """A chart from a registry.

    Attributes:
        data: the ``.tgz``, checked against the manifest.
        digest: its digest.
        manifest_digest: that of the manifest, which Flux calls the chart's digest.
        provenance: the ``.prov`` layer, where there is one.
    """

    data: bytes = field(repr=False)
    digest: Digest
    manifest_digest: Digest
    provenance: bytes | None = field(default=None, repr=False)


def fetch_oci_chart(registries: Registries, url: str) -> OciChart:
    """Return the chart at ``oci://HOST/PATH/NAME:TAG``.

    Args:
        registries: opens the repository; credentials are its own.
        url: with the chart's name, and the version as tag (``+`` written ``_``).

    Raises:
        UsageError: `url` is malformed, or has credentials in it.
        NotFoundError: no such repository or version.
        FormatError: what is there is no chart.
        DigestMismatchError: the registry serves other bytes than its manifest names.

    Source: Helm, HIP 6, "OCI Support", the manifest's media types.
    """
    reference = oci_reference(url)
    repository = registries.repository(reference.registry, reference.repository)
    try:
        descriptor = repository.resolve(reference.identifier)
    except NotFoundError as error:
        raise NotFoundError(
            f"no chart at {url}",
            where=error.where or url,
            hint="`repo` is what stands before the chart's name: "
            "oci://HOST/PATH for the chart at HOST/PATH/NAME",
        ) from None
    raw = fetch_document(repository, descriptor, where=url)
    manifest = parse_manifest(raw, descriptor.media_type, where=url)
    layer = chart_layer(manifest, url)
    signed = [item for item in manifest.layers if item.media_type == HELM_PROVENANCE]
    return OciChart(
        data=_read(repository, layer, url),
        digest=layer.digest,
        manifest_digest=descriptor.digest,
        provenance=fetch_document(repository, signed[0], where=url) if signed else None,
    )


def oci_reference(url: str) -> Reference:
    """Return what ``oci://HOST/PATH[:TAG]`` stands for.

    Raises:
        UsageError: it is malformed, has no host, or has credentials in it.
    """
    text = url.removeprefix("oci://")
    host = text.partition("/")[0]
    if "@" in host:
        raise UsageError(
            "credentials in the address of a registry",
            where="oci://" + text.partition("@")[2],
            hint="log in to the registry instead: docker's config.json is read",
        )
    if not any(sign in host for sign in ".:") and host != "localhost":
        raise UsageError(
            "address of a registry without a host",
            where=url,
            expected="oci://HOST/PATH",
            hint="a host without a dot needs its port: oci://HOST:443/PATH",
        )
    return Reference.parse(text)


def chart_layer(manifest: Manifest, where: str) -> Descriptor:
    """Return the layer that holds the chart.

    Raises:
        FormatError: the manifest is not a chart's.
    """
    kind = manifest.config.media_type if manifest.config else None
    if kind != HELM_CONFIG:
        raise FormatError(
            "not a chart",
            where=where,
            expected=HELM_CONFIG,
            found=kind or manifest.descriptor.media_type,
            hint="`repo` and `name` lead to something else, an image perhaps",
        )
    for media_type in (HELM_CHART, LEGACY_CHART_TYPE):
        layers = [layer for layer in manifest.layers if layer.media_type == media_type]
        if len(layers) == 1:
            return layers[0]
    raise FormatError("chart manifest without one chart layer", where=where, expected=HELM_CHART)


def _read(repository: ReadOnlyTarget, layer: Descriptor, where: str) -> bytes:
    if layer.size > COMPRESSED_LIMIT:
        raise ContentRefusedError(
            "chart is larger than any chart has reason to be",
            where=where,
            expected=f"at most {COMPRESSED_LIMIT} bytes",
            found=f"{layer.size} bytes",
        )
    with VerifyReader(repository.fetch(layer), layer, where=where) as stream:
        return stream.read()
