"""Images into containerd, by its own ``ctr``: a tar archive flows into it, no scratch space.

containerd 1.6 reads no zstd, so it gets the images as plain tar. ``--no-unpack``: the kubelet
unpacks an image when a pod first needs it, with the snapshotter that the node is set up for.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from typing import IO, TYPE_CHECKING, Final

from petra.bundle.differential import require_whole
from petra.errors import PetraError, ToolError
from petra.load.destination import Loaded, Part, Placed, Survey
from petra.load.tar_stream import tar_pieces, tar_size
from petra.oci.answers import clean
from petra.oci.reference import Reference

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from petra.content.digest import Digest
    from petra.content.progress import Progress
    from petra.load.destination import OpenBundle

NAMESPACE: Final = "k8s.io"
_IMPORT: Final = ("images", "import", "--no-unpack")
_ROW: Final = re.compile(r"(\S+)\s+\S+\s+(sha256:[0-9a-f]{64})\s")
_ERROR_LIMIT: Final = 4000
_LIST_SECONDS: Final = 120


class ContainerdDestination:
    """A node's containerd as the destination of a bundle's images.

    Args:
        name: as the user gave it.
        address: its socket; empty for ctr's own default.
        bundle: whose images they are.
        ctr: the program, with arguments that come first (``k3s ctr``).

    Raises:
        ContentRefusedError: the bundle is differential.
    """

    part: Part = "images"

    def __init__(
        self, name: str, address: str, bundle: OpenBundle, ctr: Sequence[str] = ("ctr",)
    ) -> None:
        require_whole(bundle.metadata, name)
        self.name = name
        self._bundle = bundle
        self._program = tuple(ctr)
        self._options = (*(("--address", address) if address else ()), "--namespace", NAMESPACE)

    def survey(self) -> Survey:
        """Find out which images are there; see :class:`Destination`."""
        names = self._bundle.archive.names
        listed = self._list()
        images = self._bundle.lock.images
        missing = {e.digest for name, e in names.items() if listed.get(name) != e.digest}
        present = sum(1 for image in images if image.root.digest not in missing)
        size = tar_size(self._bundle.reader)
        return Survey(
            part=self.part,
            destination=self.name,
            items=len(images),
            present=present,
            bytes_total=size,
            bytes_to_send=size if missing else 0,
        )

    def load(self, progress: Progress) -> Loaded:
        """Import all, then see that each name is there with its digest; see :class:`Destination`.

        Raises:
            ToolError: ctr cannot be run, or failed, or an image is not there afterwards.
            VerificationError: a blob of the bundle is damaged.
        """
        names = {name: entry.digest for name, entry in self._bundle.archive.names.items()}
        size = tar_size(self._bundle.reader)
        progress.on_start(f"load images to {self.name}", size)
        before = self._list()
        sent = _lacking(names, before)
        if sent:
            self._import(progress)
            self._check(names)
        else:
            progress.on_progress(size)
        progress.on_done()
        placed = []
        for image in self._bundle.lock.images:
            reference = Reference.parse(image.reference).with_digest(image.root.digest)
            is_new = before.get(str(reference)) != image.root.digest
            placed.append(Placed(image.reference, str(reference), image.root.digest, sent=is_new))
        return Loaded(self.part, self.name, tuple(placed), size if sent else 0)

    def _import(self, progress: Progress) -> None:
        with tempfile.TemporaryFile() as said:
            # With an index of which platforms are left out, containerd takes the node's own alone.
            sparse = any(image.absent_platforms for image in self._bundle.lock.images)
            platforms = () if sparse else ("--all-platforms",)
            process = self._start(*_IMPORT, *platforms, "-", out=said)
            stdin = process.stdin
            assert stdin is not None  # noqa: S101  # it is a pipe
            try:
                # A pipe holds 64 KiB: whoever reads slowly is waited for.
                for piece in tar_pieces(self._bundle.reader):
                    stdin.write(piece)
                    progress.on_progress(len(piece))
                stdin.close()
            except BrokenPipeError:
                pass  # it ended early, and its status says why
            except BaseException:
                # It must not take what came so far for all.
                process.kill()
                raise
            finally:
                _close(stdin)
                status = process.wait()
            if status:
                raise self._failure("import images", said)

    def _check(self, names: Mapping[str, Digest]) -> None:
        listed = self._list()
        lacking = _lacking(names, listed)
        if lacking:
            raise ToolError(
                f"{len(lacking)} of {len(names)} names are not in containerd after the import",
                where=self.name,
                expected=f"{lacking[0]} with digest {names[lacking[0]]}",
                found=listed.get(lacking[0], "no such image"),
                hint="see containerd's log, then run the same call again",
            )

    def _list(self) -> dict[str, str]:
        """Return the digests of all images in the namespace, by name."""
        with tempfile.TemporaryFile() as out:
            process = self._start("images", "list", out=out)
            _close(process.stdin)
            try:
                status = process.wait(_LIST_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise self._failure("list images in time", out) from None
            if status:
                raise self._failure("list images", out)
            out.seek(0)
            rows = out.read().decode("utf-8", "replace").splitlines()
        return {match[1]: match[2] for row in rows if (match := _ROW.match(row))}

    def _start(self, *arguments: str, out: IO[bytes]) -> subprocess.Popen[bytes]:
        program = shutil.which(self._program[0])
        if program is None:
            raise ToolError(
                f"{self._program[0]} is not there, and images go into containerd by it",
                where=self.name,
                hint="run this on the node, where containerd's ctr is on PATH",
            )
        command = [program, *self._program[1:], *self._options, *arguments]
        try:
            return subprocess.Popen(  # noqa: S603  # the program that the user chose
                command, stdin=subprocess.PIPE, stdout=out, stderr=subprocess.STDOUT
            )
        except OSError as error:
            raise ToolError(
                f"{self._program[0]} cannot be run", where=program, found=error.strerror
            ) from None

    def _failure(self, what: str, said: IO[bytes]) -> PetraError:
        said.seek(0, 2)
        said.seek(max(0, said.tell() - _ERROR_LIMIT))
        lines = said.read(_ERROR_LIMIT).decode("utf-8", "replace").strip().splitlines()
        return ToolError(
            f"{self._program[0]} could not {what}",
            where=self.name,
            found=clean(lines[-1]) if lines else "no message",
            hint="check that containerd runs, its socket (containerd:ADDRESS), that you may use it "
            "(root), and the space under /var/lib/containerd; then run the same call again",
        )


def _lacking(names: Mapping[str, Digest], listed: Mapping[str, str]) -> list[str]:
    return [name for name, digest in names.items() if listed.get(name) != digest]


def _close(pipe: IO[bytes] | None) -> None:
    try:
        if pipe is not None:
            pipe.close()
    except BrokenPipeError:
        pass
