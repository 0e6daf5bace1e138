"""``create --profile``: a bundle is held to a guard's profile before it is written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from petra.archive.plan import Plan
    from petra.bundle.create import Created
    from petra.bundle.metadata import Metadata
    from petra.transfer.chunking import ChunkOptions
    from petra.transfer.guard.filters import Outer
    from petra.transfer.guard.profile import Profile

#: The end of the name of the release in plain text, beside the bundle.
RELEASE_SUFFIX: Final = ".release.txt"


class Guard:
    """The guard that a bundle is made for, if any.

    Args:
        profile: a shipped profile's name, or a file; None for no guard.

    Raises:
        NotFoundError: there is no such profile.
        DocumentError: the file is no profile.
    """

    def __init__(self, profile: str | None) -> None:
        self._rules: Profile | None = None
        self._metadata: Metadata | None = None
        if profile is not None:
            from petra.transfer.guard.profile import load_profile  # noqa: PLC0415  # start-up time

            self._rules = load_profile(profile)

    def approval(
        self, name: str, form: str, cut: ChunkOptions | None
    ) -> Callable[[Plan], None] | None:
        """Return what refuses a plan that the guard would not let pass; None without a guard.

        Args:
            name: the bundle's file name.
            form: its form.
            cut: how it is cut into chunks, if it is.
        """
        rules = self._rules
        if rules is None:
            return None
        from petra.transfer.guard.foresee import foresee  # noqa: PLC0415  # start-up time

        def approve(plan: Plan) -> None:
            verdict = foresee(rules, plan, _outers(name, plan.size, form, cut))
            if refusal := verdict.refusal(name):
                raise refusal
            self._metadata = _metadata(plan)

        return approve

    def write_release(self, created: Created, cut: ChunkOptions | None) -> Path | None:
        """Write the release in plain text beside the bundle, or into its chunk folder.

        Without a guard, one that lies there of a bundle before is removed.
        """
        folder = cut.folder if cut else created.path.parent
        target = folder / (created.path.name + RELEASE_SUFFIX)
        if self._metadata is None:
            target.unlink(missing_ok=True)
            return None
        from petra.archive.sink import write_file  # noqa: PLC0415  # start-up time
        from petra.transfer.papers import release_text  # noqa: PLC0415  # as above
        from petra.transfer.shipment import ShippedFile, folder_files  # noqa: PLC0415  # as above

        packed = created.packed
        whole = (ShippedFile(created.path, packed.size, packed.digest),)
        files = folder_files(cut.folder) if cut else whole
        text = release_text(self._metadata, created.path.name, packed.digest, files)
        write_file(target, text)
        return target


def _metadata(plan: Plan) -> Metadata:
    from petra.archive.members import METADATA  # noqa: PLC0415  # start-up time
    from petra.archive.plan import Text  # noqa: PLC0415  # as above
    from petra.bundle.metadata import load_metadata  # noqa: PLC0415  # as above

    member = next(one for one in plan.members if one.name == METADATA)
    assert isinstance(member, Text)  # noqa: S101  # for mypy: all of the head is text
    return load_metadata(member.data)


def _outers(name: str, size: int, form: str, cut: ChunkOptions | None) -> Iterator[Outer]:
    from petra.transfer.guard.filters import Outer  # noqa: PLC0415  # start-up time
    from petra.transfer.names import chunk_name, chunk_sizes  # noqa: PLC0415  # as above

    sizes = chunk_sizes(size, cut.limit) if cut else [size]
    for number, part in enumerate(sizes, start=1):
        yield Outer(chunk_name(name, number, len(sizes)) if cut else name, part, form)
