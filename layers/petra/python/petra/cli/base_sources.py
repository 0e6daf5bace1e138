"""``--base-from``: where a load takes what a differential bundle leaves out."""

from __future__ import annotations

import dataclasses
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from petra.cli.command import Call
    from petra.load.base import BaseSource
    from petra.load.destination import OpenBundle
    from petra.load.images import ImageOptions
    from petra.load.ledger import Ledger

_REGISTRY: Final = "registry://"
_LAYOUT: Final = "layout:"


@contextmanager
def completed(
    call: Call, bundle: OpenBundle, places: Sequence[str], ledger: Ledger, options: ImageOptions
) -> Iterator[OpenBundle]:
    """Give `bundle` with the places where blobs are looked for that it leaves out.

    Args:
        call: settings and console.
        bundle: what is to be loaded; given back as it is if it is whole.
        places: as the user named them.
        ledger: knows to which repositories older bundles were loaded.
        options: how registries are reached.

    Raises:
        UsageError: a place is none.
        VerificationError: a bundle that is named is not good.
    """
    if not bundle.metadata.absent:
        yield bundle
        return
    from petra.load.inventory import repositories_of  # noqa: PLC0415  # start-up time

    with ExitStack() as stack:
        sources = tuple(_source(call, stack, bundle, place, options) for place in places)
        before = repositories_of(ledger)
        yield dataclasses.replace(bundle, base_from=sources, loaded_before=before)


def _source(
    call: Call, stack: ExitStack, bundle: OpenBundle, place: str, options: ImageOptions
) -> BaseSource:
    if place.startswith(_REGISTRY):
        return _registry(stack, bundle, place, options)
    if place.startswith(_LAYOUT):
        from petra.load.base import LayoutSource  # noqa: PLC0415  # start-up time
        from petra.oci.layout import LayoutTarget  # noqa: PLC0415  # as above

        return LayoutSource(place, LayoutTarget(Path(place.removeprefix(_LAYOUT))))
    from petra.archive.target import ArchiveTarget  # noqa: PLC0415  # start-up time
    from petra.cli.opening import verified  # noqa: PLC0415  # as above
    from petra.load.base import BundleSource  # noqa: PLC0415  # as above

    other = stack.enter_context(verified(call, place))
    return BundleSource(place, ArchiveTarget(other.archive.reader))


def _registry(
    stack: ExitStack, bundle: OpenBundle, place: str, options: ImageOptions
) -> BaseSource:
    """Return the repositories of a registry in which the bundle's images lie by that name."""
    from petra.load.base import RepositoriesSource  # noqa: PLC0415  # start-up time
    from petra.load.places import Place  # noqa: PLC0415  # as above
    from petra.oci.reference import Reference  # noqa: PLC0415  # as above
    from petra.oci.registry import RegistryClient  # noqa: PLC0415  # as above

    found = Place.parse(place, keep_hosts=options.keep_hosts)
    client = stack.enter_context(RegistryClient(options.registry))
    images = (Reference.parse(image.reference) for image in bundle.lock.images)
    paths = dict.fromkeys(found.repository(image) for image in images)
    return RepositoriesSource(place, [client.repository(found.registry, path) for path in paths])
