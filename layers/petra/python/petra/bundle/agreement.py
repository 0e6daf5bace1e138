"""Whether the parts of a bundle say the same of its images: metadata, lock and index.

All of them are the sender's. Policy looks at the metadata; registries are loaded by the lock, and
runtimes by ``index.json``. Where they disagree, what was looked at is not what would be loaded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from petra.archive import members
from petra.archive.target import NAME, RUNTIME_NAME
from petra.bundle.lock import load_lock
from petra.bundle.metadata import ImageRecord
from petra.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from petra.archive.reader import ArchiveReader
    from petra.archive.target import ArchiveTarget
    from petra.bundle.lock import Lock, LockedImage
    from petra.bundle.metadata import Metadata
    from petra.content.digest import Digest

_BAD: Final = "do not use it; ask the sender for a bundle made by petra"
#: Names that an error lists.
_LISTED: Final = 20
_NAMED: Final = (NAME, RUNTIME_NAME)


def check_names(metadata: Metadata, target: ArchiveTarget) -> None:
    """Refuse a bundle that names other images than its metadata describe.

    Every reader must see the same names: an entry has one name, under both of the keys that readers
    look for, or none at all.

    Raises:
        FormatError: it does; lists the names.
    """
    described = {name: str(image.digest) for image in metadata.images for name in image.names}
    found: dict[str, str] = {}
    wrong: list[str] = []
    for entry in target.entries:
        names = dict.fromkeys(entry.annotations.get(key, "none") for key in _NAMED)
        if entry.annotations and (set(entry.annotations) != set(_NAMED) or len(names) > 1):
            wrong.append(f"{entry.digest}: {' and '.join(names)}")
        elif entry.annotations:
            name = next(iter(names))
            if name in found:
                wrong.append(f"{name}: {found[name]} and {entry.digest}")
            found[name] = str(entry.digest)
    wrong += [
        f"{name}: {found.get(name, 'missing')}, described as {described.get(name, 'nothing')}"
        for name in {**described, **found}
        if described.get(name) != found.get(name)
    ]
    if wrong:
        raise FormatError(
            "the bundle names other images than its metadata describe",
            where=members.INDEX,
            found=listed(wrong),
            hint=_BAD,
        )


def bundle_lock(reader: ArchiveReader, metadata: Metadata) -> Lock:
    """Return the lock in a bundle, which says the same as its metadata.

    Raises:
        FormatError: it is malformed, says something else, or attaches something to what is not the
            image's own.
    """
    lock = load_lock(reader.read(members.LOCK), where=members.LOCK, error=FormatError)
    locked = _said(lock)
    for part, ours in _said(metadata).items():
        theirs = locked[part]
        if ours != theirs:
            raise FormatError(
                "the lock says of the bundle what its metadata do not",
                where=f"{members.LOCK}, {part}",
                expected=_brief(ours, theirs),
                found=_brief(theirs, ours),
                hint=_BAD,
            )
    for image in lock.images:
        _check_attachments(image)
    return lock


def listed(lines: Sequence[str]) -> str:
    """Return lines as an error shows them, some twenty of them."""
    more = [f"… and {len(lines) - _LISTED} more"] if len(lines) > _LISTED else []
    return "".join(f"\n    {line}" for line in [*lines[:_LISTED], *more])


def _said(document: Metadata | Lock) -> dict[str, list[object]]:
    """Return what both documents say, by what it is about."""
    one, images = document, document.images
    return {
        "the bundle": [one.name, one.version, one.serial, one.created, one.platforms],
        "images": [(each.name, each.reference, *_root(each), each.size) for each in images],
        "platforms": [(each.name, each.platforms, each.absent_platforms) for each in images],
        "attachments": [(each.name, each.attachments) for each in images],
        "charts": [
            (each.name, each.version, each.repo, each.digest, each.size) for each in one.charts
        ],
    }


def _root(image: ImageRecord | LockedImage) -> tuple[Digest, str]:
    root = image if isinstance(image, ImageRecord) else image.root
    return root.digest, root.media_type


def _brief(ours: Iterable[object], theirs: Sequence[object]) -> str:
    """Return the first entry that the other side has not."""
    return str(next((one for one in ours if one not in theirs), "no more"))[:500]


def _check_attachments(image: LockedImage) -> None:
    """Refuse an attachment of something that is not the image's: it would take another's place."""
    own = {blob.digest for blob in image.documents}
    for one in image.attachments:
        if one.subject not in own:
            raise FormatError(
                f"what the bundle lists as a {one.kind} of an image is attached to something else",
                where=f"{members.LOCK}, {image.name}",
                expected=f"a manifest of {image.reference}",
                found=one.subject,
                hint=_BAD,
            )
