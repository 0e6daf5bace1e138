"""Images into a registry: blobs straight from the bundle, manifests after them, tags last.

Source: OCI distribution-spec v1.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from petra.content.parallel import in_parallel
from petra.errors import NotFoundError, PetraError
from petra.load.base import CompletedSource, RepositoriesSource, base_notes, found_elsewhere
from petra.load.destination import Loaded, Part, Placed, Survey
from petra.load.mirrors import Mirror
from petra.load.repository import LoadedRepository
from petra.load.sending import CountedSource
from petra.oci.copy import Copy, copy_graphs
from petra.oci.media_types import is_index, is_manifest
from petra.oci.reference import Reference

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from petra.archive.target import ArchiveTarget
    from petra.bundle.lock import LockedImage
    from petra.content.descriptor import Descriptor
    from petra.content.digest import Digest
    from petra.content.progress import Progress
    from petra.content.protocols import Fetcher
    from petra.load.base import BaseSource
    from petra.load.destination import OpenBundle
    from petra.load.places import Place
    from petra.oci.registry import RegistryClient

_NOT_FOUND: Final = 404


@dataclass(frozen=True, slots=True)
class _Image:
    """An image and the repository that it goes to, as references have it."""

    locked: LockedImage
    reference: Reference
    path: str

    @property
    def pieces(self) -> Iterator[Descriptor]:
        """All its manifests and blobs, those of what refers to it too."""
        return (blob.descriptor for blob in (*self.locked.documents, *self.locked.layers))

    @property
    def tags(self) -> Iterator[tuple[str, Descriptor]]:
        """What is tagged, the image itself last: whoever finds it finds its signatures."""
        for one in self.locked.attachments:
            if one.tag:
                yield one.tag, one.descriptor
        if self.reference.tag:
            yield self.reference.tag, self.locked.root.descriptor


@dataclass(frozen=True, slots=True)
class _Plan:
    """What goes where.

    Attributes:
        name: the destination, as the user gave it.
        place: the registry and the prefix.
        bundle: the bundle.
        images: in the bundle's order.
        workers: pieces under way at once.
        takes_children: whether children may stand for an index that is refused.
    """

    name: str
    place: Place
    bundle: OpenBundle
    images: tuple[_Image, ...]
    workers: int
    takes_children: bool

    @property
    def archive(self) -> ArchiveTarget:
        """The bundle's content."""
        return self.bundle.archive

    @property
    def pieces(self) -> dict[tuple[str, Digest], Descriptor]:
        """All manifests and blobs, by repository and digest."""
        return {(one.path, piece.digest): piece for one in self.images for piece in one.pieces}

    def repository(
        self, client: RegistryClient, path: str, elsewhere: Mapping[Digest, Fetcher] | None = None
    ) -> LoadedRepository:
        """Return the repository `path` of the registry."""
        inner = client.repository(self.place.registry, path)
        takes = self.takes_children
        return LoadedRepository(inner, self.archive, takes_children=takes, elsewhere=elsewhere)

    def elsewhere(self, client: RegistryClient) -> dict[Digest, Fetcher]:
        """Return where to get what the bundle leaves out and a repository that needs it lacks.

        Other repositories of the registry are asked first: this bundle's, then those that older
        bundles were loaded to. From them the registry takes a blob over by itself.

        Raises:
            IncompleteError: some of it is nowhere.
        """
        absent = self.bundle.absent
        needed = {key: one for key, one in self.pieces.items() if key[1] in absent}

        def lacks(key: tuple[str, Digest]) -> bool:
            return not client.repository(self.place.registry, key[0]).exists(needed[key])

        found = in_parallel(lacks, [*needed], workers=self.workers)
        missing = {key[1] for key, lacking in zip(needed, found, strict=True) if lacking}
        sources: tuple[BaseSource, ...] = (self._own_source(client), *self.bundle.base_from)
        return found_elsewhere(self.bundle, sorted(missing), sources, where=self.name)

    def _own_source(self, client: RegistryClient) -> RepositoriesSource:
        host = self.place.registry
        before = (one.partition("/") for one in self.bundle.loaded_before)
        older = [path for registry, _, path in before if registry == host]
        paths = dict.fromkeys([*(one.path for one in self.images), *older])
        return RepositoriesSource(
            f"other repositories of {host}", [client.repository(host, path) for path in paths]
        )

    def travels(self, node: Descriptor) -> bool:
        """Say whether `node` goes along: all but the platforms that the bundle leaves out."""
        return not is_manifest(node.media_type) or self.archive.exists(node)


class RegistryDestination:
    """A registry as the destination of a bundle's images.

    Args:
        name: as the user gave it.
        place: the registry and the prefix.
        bundle: whose images they are.
        connect: makes the client, one for each survey and load.
        workers: pieces under way at once.
        sparse_index: see :class:`petra.load.images.ImageOptions`.

    Raises:
        UsageError: two images would come to lie in one repository, or one has no possible name.
    """

    part: Part = "images"

    def __init__(
        self,
        name: str,
        place: Place,
        bundle: OpenBundle,
        connect: Callable[[], RegistryClient],
        *,
        workers: int = 4,
        sparse_index: Literal["refuse", "child"] = "refuse",
    ) -> None:
        self.name = name
        self._connect = connect
        parsed = [Reference.parse(image.reference) for image in bundle.lock.images]
        place.check(parsed)
        images = tuple(
            _Image(image, reference, place.repository(reference))
            for image, reference in zip(bundle.lock.images, parsed, strict=True)
        )
        takes = sparse_index == "child"
        self._plan = _Plan(name, place, bundle, images, workers, takes)

    @property
    def mirrors(self) -> tuple[Mirror, ...]:
        """The rules by which nodes find here what manifests name by its source registry."""
        place = self._plan.place
        with self._connect() as client:
            url = client.url_of(place.registry)
        sources = dict.fromkeys(image.reference.registry for image in self._plan.images)
        return tuple(Mirror(source, url, place.below(source)) for source in sources)

    def survey(self) -> Survey:
        """Find out what a load would send; see :class:`Destination`."""
        plan, pieces = self._plan, self._plan.pieces
        with self._connect() as client:

            def lacks(key: tuple[str, Digest]) -> bool:
                return not plan.repository(client, key[0]).exists(pieces[key])

            found = in_parallel(lacks, [*pieces], workers=plan.workers)
            missing = {key for key, is_missing in zip(pieces, found, strict=True) if is_missing}
            present = [one for one in plan.images if _is_whole(plan, client, one, missing)]
            elsewhere = plan.elsewhere(client)
        # Each blob once: what several repositories need is mounted where that can be.
        sizes = {digest: one.size for (_, digest), one in pieces.items()}
        return Survey(
            part=self.part,
            destination=self.name,
            items=len(plan.images),
            present=len(present),
            bytes_total=sum(sizes.values()),
            bytes_to_send=sum(sizes[digest] for digest in {digest for _, digest in missing}),
            notes=(*_sparse_notes(plan), *base_notes(plan.bundle, elsewhere)),
        )

    def load(self, progress: Progress) -> Loaded:
        """Bring all images and what refers to them; see :class:`Destination`."""
        with self._connect() as client:
            return _Load(self._plan, client, progress).run()


def _is_whole(
    plan: _Plan, client: RegistryClient, image: _Image, missing: set[tuple[str, Digest]]
) -> bool:
    if any((image.path, piece.digest) in missing for piece in image.pieces):
        return False
    repository = client.repository(plan.place.registry, image.path)
    try:
        return all(repository.resolve(tag) == wanted for tag, wanted in image.tags)
    except NotFoundError:
        return False


def _sparse_notes(plan: _Plan) -> tuple[str, ...]:
    sparse = sum(1 for image in plan.images if image.locked.absent_platforms)
    if not sparse or plan.takes_children:
        return ()
    note = (
        f"{sparse} image(s) name platforms that the bundle leaves out: a registry that refuses "
        "such an index needs --sparse-index child"
    )
    return (note,)


class _Load:
    """One load: what is in place so far, for the report, whichever way it ends."""

    def __init__(self, plan: _Plan, client: RegistryClient, progress: Progress) -> None:
        self._plan = plan
        self._progress = progress
        self._elsewhere = plan.elsewhere(client)
        self._source = CountedSource(CompletedSource(plan.archive, self._elsewhere), progress)
        self._repositories = {
            path: plan.repository(client, path, self._elsewhere)
            for path in dict.fromkeys(image.path for image in plan.images)
        }
        self._placed: dict[str, tuple[Placed, ...]] = {}
        self._moved: list[str] = []

    def run(self) -> Loaded:
        """Bring everything."""
        plan = self._plan
        total = sum(piece.size for piece in plan.pieces.values())
        self._progress.on_start(f"load images to {plan.name}", total)
        try:
            copy_graphs(
                self._source,
                [self._copy(image) for image in plan.images],
                workers=plan.workers,
                select=plan.travels,
                notify=self._source.notify,
            )
        except PetraError as error:
            self._explain(error)
            raise
        self._progress.on_done()
        placed = [one for image in plan.images for one in self._placed[image.locked.name]]
        return Loaded(
            part=RegistryDestination.part,
            destination=plan.name,
            placed=tuple(placed),
            bytes_sent=self._source.sent,
            notes=tuple(self._notes()),
        )

    def _copy(self, image: _Image) -> Copy:
        attached = (one.descriptor for one in image.locked.attachments)
        repository = self._repositories[image.path]
        roots = (image.locked.root.descriptor, *attached)
        return Copy(repository, roots, lambda: self._finish(image, repository))

    def _finish(self, image: _Image, repository: LoadedRepository) -> None:
        """Tag what is in place, and note that it is."""
        root = image.locked.root.descriptor
        children = repository.children_for(root)
        moved = False
        for tag, wanted in image.tags:
            standing = self._standing_for(wanted, children)
            if standing is None:
                continue
            before = repository.tag(standing, tag)
            moved = moved or before != standing.digest
            if before not in (None, standing.digest):
                self._moved.append(f"{repository.name}:{tag} stood for {before} before")
        alone = children or (root,)
        self._placed[image.locked.name] = tuple(
            Placed(
                name=str(image.reference),
                reference=f"{repository.name}@{one.digest}",
                digest=one.digest,
                sent=moved or repository.took(one),
                note=repository.note_on(root, one),
            )
            for one in alone
        )

    @staticmethod
    def _standing_for(wanted: Descriptor, children: tuple[Descriptor, ...]) -> Descriptor | None:
        """Return what a tag is to stand for; None where one of several children would have to."""
        if not children or not is_index(wanted.media_type):
            return wanted
        return children[0] if len(children) == 1 else None

    def _notes(self) -> Iterator[str]:
        attached = sum(len(image.locked.attachments) for image in self._plan.images)
        if attached:
            yield f"signatures, attestations and other referrers in place with them: {attached}"
        yield from base_notes(self._plan.bundle, self._elsewhere)
        yield from sorted(self._moved)

    def _explain(self, error: PetraError) -> None:
        """Say in `error` what is in place and what to do."""
        images = self._plan.images
        there = [str(image.reference) for image in images if image.locked.name in self._placed]
        rest = [str(image.reference) for image in images if image.locked.name not in self._placed]
        if there:
            self._progress.on_note(f"in place at {self._plan.name}: {', '.join(there)}")
        self._progress.on_note(f"not yet in place there: {', '.join(rest)}")
        hint = error.hint or error.usual_hint or ""
        if error.status == _NOT_FOUND:
            hint = "if the registry wants repositories to be made first, make them"
        error.hint = (
            f"{hint}; {len(there)} of {len(images)} images are in place, and the same call goes on "
            "from there"
        )
