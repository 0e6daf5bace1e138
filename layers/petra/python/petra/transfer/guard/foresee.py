"""Holds a bundle to a guard's profile before a byte of it is written: by its plan.

Every member's name, size and digest is known by then, and the content of all but layers. A layer
counts as what its media type says; what it really is only ``petra bundle lint`` sees.
"""

from __future__ import annotations

import tarfile
from typing import TYPE_CHECKING, Final

from petra.archive.plan import Stored, Text
from petra.content.stream import fetch_document
from petra.transfer.guard.kinds import HEAD_SIZE
from petra.transfer.guard.pipeline import judge
from petra.transfer.guard.walk import WHOLE_LIMIT, Entry

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from petra.archive.plan import Plan
    from petra.transfer.guard.filters import Outer
    from petra.transfer.guard.pipeline import LintVerdict
    from petra.transfer.guard.profile import Profile

#: Documents up to this size were read while resolving, and are kept.
_KEPT: Final = 1024 * 1024
_TAR: Final = bytes(257) + b"ustar"
#: How content of a media type begins, by the end of its name.
_HEADS: Final = (("gzip", b"\x1f\x8b"), ("zstd", b"\x28\xb5\x2f\xfd"), ("tar", _TAR))


def foresee(profile: Profile, plan: Plan, outers: Iterable[Outer]) -> LintVerdict:
    """Return what the guard's filters say of the bundle that `plan` describes.

    Args:
        profile: the rules.
        plan: the bundle.
        outers: the files that it will cross as.

    Raises:
        PetraError: a document cannot be fetched.
    """
    return judge(profile, outers, _entries(plan), "the bundle to come")


def _entries(plan: Plan) -> Iterator[Entry]:
    for member in plan.members:
        data = member.data if isinstance(member, Text) else _known(member)
        head = data[:HEAD_SIZE] if data is not None else _expected_head(member)
        yield Entry(
            name=member.name,
            size=member.size,
            type=tarfile.REGTYPE,
            mode=0o644,
            owner="0:0 :",
            pax=(),
            head=head,
            digest=member.digest,
            data=data if member.size <= WHOLE_LIMIT else None,
        )


def _known(member: Stored) -> bytes | None:
    """Return what is at hand of a stored member: charts, manifests and configurations."""
    is_layer = _expected_head(member) and not member.name.endswith(".tgz")
    if is_layer or member.size > WHOLE_LIMIT:
        return None
    if member.name.endswith(".tgz") or member.size <= _KEPT:
        return fetch_document(member.source, member.descriptor, limit=WHOLE_LIMIT)
    return None


def _expected_head(member: Text | Stored) -> bytes:
    """Return how content of this media type begins; nothing where that is not known."""
    media_type = member.descriptor.media_type if isinstance(member, Stored) else ""
    return next((head for ending, head in _HEADS if media_type.endswith(ending)), b"")
