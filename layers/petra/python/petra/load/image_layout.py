"""Images into an OCI image layout: a folder that other tools read as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from petra.archive.target import NAME
from petra.load.base import CompletedSource, base_notes, by_presence, found_elsewhere, has_intact
from petra.load.destination import Loaded, Part, Placed, Survey
from petra.load.sending import CountedSource, check_space
from petra.oci.copy import Copy, copy_graphs
from petra.oci.layout import LayoutTarget
from petra.oci.media_types import is_manifest
from petra.oci.reference import Reference

if TYPE_CHECKING:
    from pathlib import Path

    from petra.bundle.lock import LockedImage
    from petra.content.descriptor import Descriptor
    from petra.content.digest import Digest
    from petra.content.progress import Progress
    from petra.content.protocols import Fetcher
    from petra.load.destination import OpenBundle


class CheckedLayout(LayoutTarget):
    """A layout that believes no blob by its name and size: one that is there is read and hashed."""

    def exists(self, descriptor: Descriptor) -> bool:
        """Say whether content of this digest is there; forget it if it is damaged."""
        if not super().exists(descriptor):
            return False
        if is_manifest(descriptor.media_type):
            return True
        if not has_intact(self, descriptor):
            self.discard(descriptor.digest)
            return False
        return True


class LayoutDestination:
    """A layout's folder as the destination of a bundle's images.

    What the folder holds already stays; a name that it has already stands for the bundle's image
    afterwards.

    Args:
        name: as the user gave it.
        folder: of the layout; made where there is none.
        bundle: whose images they are.
        workers: pieces under way at once.
    """

    part: Part = "images"

    def __init__(self, name: str, folder: Path, bundle: OpenBundle, workers: int = 4) -> None:
        self.name = name
        self._folder = folder
        self._bundle = bundle
        self._workers = workers

    def survey(self) -> Survey:
        """Find out what a load would write; blobs that are there are judged by their size.

        Those that the bundle leaves out are read and judged by their digest.
        """
        target, lock = LayoutTarget(self._folder), self._bundle.lock
        blobs = [*lock.blobs()]
        missing = {one.digest: one.size for one in blobs if not target.exists(one)}
        elsewhere = self._elsewhere()
        absent = self._bundle.absent
        missing |= {digest: absent[digest].size for digest in elsewhere}
        check_space(self._folder, sum(missing.values()))
        listed = {one.annotations.get(NAME): one.digest for one in target.entries()}
        present = 0
        for image in lock.images:
            whole = not any(b.digest in missing for b in (*image.documents, *image.layers))
            present += whole and all(
                listed.get(name) == image.root.digest for name in self._names(image)
            )
        return Survey(
            part=self.part,
            destination=self.name,
            items=len(lock.images),
            present=present,
            bytes_total=sum(one.size for one in blobs),
            bytes_to_send=sum(missing.values()),
            notes=base_notes(self._bundle, elsewhere),
        )

    def _elsewhere(self) -> dict[Digest, Fetcher]:
        """Prove that what the bundle leaves out is here, byte by byte; say where the rest is.

        Raises:
            IncompleteError: it is nowhere.
        """
        target, bundle = LayoutTarget(self._folder), self._bundle
        missing = by_presence([*bundle.absent.values()], lambda blob: has_intact(target, blob))
        return found_elsewhere(bundle, missing, bundle.base_from, where=self.name)

    def load(self, progress: Progress) -> Loaded:
        """Write all blobs, and then the names; see :class:`Destination`."""
        target, archive = CheckedLayout(self._folder), self._bundle.archive
        elsewhere = self._elsewhere()
        source = CountedSource(CompletedSource(archive, elsewhere), progress)
        new: set[Digest] = set()

        def notify(node: Descriptor, sent: bool) -> None:  # noqa: FBT001  # as it is called
            source.notify(node, sent)
            if sent:
                new.add(node.digest)

        blobs = [*self._bundle.lock.blobs()]
        check_space(self._folder, sum(b.size for b in blobs if not LayoutTarget.exists(target, b)))
        progress.on_start(f"load images to {self.name}", sum(one.size for one in blobs))
        copy_graphs(
            source,
            [Copy(target, tuple(archive.entries), lambda: target.list_entries(archive.entries))],
            workers=self._workers,
            select=lambda node: not is_manifest(node.media_type) or archive.exists(node),
            notify=notify,
        )
        progress.on_done()
        placed = [
            Placed(
                name=image.reference,
                reference=f"oci:{self._folder}:{self._names(image)[-1]}",
                digest=image.root.digest,
                sent=image.root.digest in new,
            )
            for image in self._bundle.lock.images
        ]
        notes = base_notes(self._bundle, elsewhere)
        return Loaded(self.part, self.name, tuple(placed), source.sent, notes)

    def _names(self, image: LockedImage) -> list[str]:
        """Return the names under which the bundle lists `image`, the one by digest last."""
        names = self._bundle.archive.names.items()
        wanted = Reference.parse(image.reference).name
        return [
            name
            for name, entry in names
            if entry.digest == image.root.digest and Reference.parse(name).name == wanted
        ]
