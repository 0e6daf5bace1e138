"""Gives a scanner an image that lies elsewhere: as a layout of its own, for as long as it takes."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from petra.oci.copy import copy_graph
from petra.oci.layout import LayoutTarget
from petra.scan.scanner import LayoutImage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from petra.content.descriptor import Descriptor
    from petra.content.protocols import Fetcher


@contextmanager
def as_layout(source: Fetcher, image: Descriptor) -> Iterator[LayoutImage]:
    """Copy an image for one platform into a temporary folder, every blob checked, and remove it.

    It takes room for the compressed layers, and scanners some more to unpack them.

    Args:
        source: where it is.
        image: its manifest; not an index, of which a scanner would read one platform.

    Raises:
        NotFoundError: a part of it is not there.
        VerificationError: the source gives something else.
        NoSpaceError: the disk is full.
    """
    with tempfile.TemporaryDirectory(prefix="petra-scan-", ignore_cleanup_errors=True) as name:
        path = Path(name) / "image"
        target = LayoutTarget(path)
        copy_graph(source, target, image)
        target.tag(image, "image")
        yield LayoutImage(path)
