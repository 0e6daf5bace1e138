"""``python -m bench.load BUNDLE URI``: a load of the images alone, as it is after the verify pass.

The bundle is not verified here: that pass is a case of its own, and `crane push` has none.
"""

from __future__ import annotations

import sys
from pathlib import Path

from petra.archive import members
from petra.archive.reader import ArchiveReader
from petra.archive.source import FileSource
from petra.archive.target import ArchiveTarget
from petra.bundle.lock import load_lock
from petra.bundle.metadata import load_metadata
from petra.content.digest import Digest
from petra.content.progress import NoProgress
from petra.load.destination import OpenBundle
from petra.load.images import image_destination


def main() -> None:
    """Load the images of the bundle."""
    with ArchiveReader(FileSource(Path(sys.argv[1]))) as reader:
        bundle = OpenBundle(
            reader=reader,
            archive=ArchiveTarget(reader),
            metadata=load_metadata(reader.read(members.METADATA)),
            lock=load_lock(reader.read(members.LOCK), where=members.LOCK),
            digest=Digest.of(b"not verified"),
            signer="nobody",
        )
        loaded = image_destination(sys.argv[2], bundle).load(NoProgress())
    print(f"{len(loaded.placed)} images, {loaded.bytes_sent} bytes sent")


if __name__ == "__main__":
    main()
