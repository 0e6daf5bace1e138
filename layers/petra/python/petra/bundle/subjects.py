"""What of an image is scanned: each platform's manifest by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from petra.content.descriptor import Platform
from petra.oci.media_types import is_manifest
from petra.scan.model import Subject

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from petra.content.descriptor import Descriptor
    from petra.oci.manifest import Manifest

#: BuildKit keeps attestations in an index under this platform; nothing runs there.
_UNKNOWN: Final = Platform("unknown", "unknown")


def subjects(
    reference: str,
    root: Manifest,
    platforms: Sequence[Platform],
    carried: Callable[[Descriptor], bool],
) -> Iterator[tuple[Subject, Descriptor]]:
    """Yield the manifests of the platforms that a bundle carries, in the index's order.

    Args:
        reference: as people call the image.
        root: the index or manifest that it stands for.
        platforms: those that the bundle carries.
        carried: says of a child whether it is among them.
    """
    found = [*_manifests(root, carried)]
    for one in found:
        whole = one.digest == root.descriptor.digest
        named = platforms if whole else [one.platform]
        platform = named[0] if len(named) == 1 else None
        subject = Subject(
            reference=reference,
            digest=one.digest,
            platform=str(platform or ""),
            index=None if whole else root.descriptor.digest,
            sole=not whole and len(found) == 1,
        )
        yield subject, one


def _manifests(root: Manifest, carried: Callable[[Descriptor], bool]) -> Iterator[Descriptor]:
    if not root.is_index:
        yield root.descriptor
        return
    for child in root.manifests:
        if is_manifest(child.media_type) and child.platform != _UNKNOWN and carried(child):
            yield child
