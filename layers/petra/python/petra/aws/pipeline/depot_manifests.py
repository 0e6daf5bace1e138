"""Platform manifests into a bucket that Flux reads as a Bucket source.

They are put aside first, under ``published/NAME-VERSION-DIGEST12/``. The switch copies what
differs to where Flux reads, and removes what is not among it, last. S3 has no way to let several
objects change at once: a source that looks meanwhile may see both; it looks again, and Flux applies
what it sees then. Where that must not be, publish to a registry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from petra.aws.faults import petra_errors
from petra.aws.objects import SCHEME, describe
from petra.aws.pipeline.runs import read_object, write_object
from petra.errors import NotFoundError
from petra.load.destination import Loaded, Part, Placed, Survey
from petra.load.flux_artifact import manifests_tree, tree_digest
from petra.load.rendering import LocalRegistry, local_manifests

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

    from petra.content.progress import Progress
    from petra.load.destination import OpenBundle

PUBLISHED: Final = "published/"
_SHOWN: Final = 12
#: Objects that one request removes. Source: S3 API Reference, DeleteObjects.
_AT_ONCE: Final = 1000


class DepotManifests:
    """A bucket as the place of manifests. A :class:`petra.load.destination.Publication`.

    Args:
        bundle: whose manifests.
        client: for S3.
        bucket: the bucket.
        prefix: where Flux reads, with a slash at its end.
        local: how the cluster reaches the registry that the charts are in.

    Raises:
        UsageError: the manifests cannot be used with `local`.
        IncompleteError: a manifest points outside.
    """

    part: Part = "manifests"

    def __init__(
        self,
        bundle: OpenBundle,
        client: S3Client,
        bucket: str,
        prefix: str,
        *,
        local: LocalRegistry,
    ) -> None:
        files = local_manifests(bundle, local)
        self.name = f"{SCHEME}{bucket}/{prefix}"
        self.digest = tree_digest(files)
        self._files = manifests_tree(files)
        self._client, self._bucket, self._prefix = client, bucket, prefix
        self._label = f"{bundle.metadata.name} {bundle.metadata.version}"
        stem = f"{bundle.metadata.name}-{bundle.metadata.version}"
        self.aside = f"{PUBLISHED}{stem}-{self.digest.hex[:_SHOWN]}/"

    def survey(self) -> Survey:
        """Find out what a load would do; change nothing."""
        total = sum(map(len, self._files.values()))
        there = self._lacking() == []
        return Survey(
            part=self.part,
            destination=self.name,
            items=len(self._files),
            present=len(self._files) * there,
            bytes_total=total,
            bytes_to_send=0 if there else total,
        )

    def load(self, progress: Progress) -> Loaded:
        """Publish, then switch."""
        loaded = self.publish(progress)
        self.switch()
        return loaded

    def publish(self, progress: Progress) -> Loaded:
        """Put all manifests aside; what Flux reads stays as it is."""
        total = sum(map(len, self._files.values()))
        progress.on_start(f"manifests to {self.name}", total)
        lacking = self._lacking()
        for name in lacking:
            self._write(self.aside + name, self._files[name])
        progress.on_progress(total)
        progress.on_done()
        sent = sum(len(self._files[name]) for name in lacking)
        placed = self._placed(self.aside, sent=bool(lacking))
        return Loaded(self.part, self.name, (placed,), sent)

    def switch(self) -> Placed:
        """Let Flux read what was published; does nothing where it does so already.

        Raises:
            NotFoundError: it was not published.
        """
        if lacking := self._lacking():
            raise NotFoundError(
                "these manifests were not published",
                where=f"{SCHEME}{self._bucket}/{self.aside}{lacking[0]}",
                hint="load the bundle again",
            )
        before = self._listed()
        changed = [name for name, data in self._files.items() if self._current(name) != data]
        for name in changed:
            self._write(self._prefix + name, self._files[name])
        stale = sorted(before - self._files.keys())
        self._remove([self._prefix + name for name in stale])
        return self._placed(self._prefix, sent=bool(changed or stale))

    def _lacking(self) -> list[str]:
        """Return which manifests are not aside in this very form."""
        found = []
        for name, data in self._files.items():
            there = describe(self._client, self._bucket, self.aside + name)
            if there is None or there.size != len(data):
                found.append(name)
        return found

    def _current(self, name: str) -> bytes | None:
        return read_object(self._client, self._bucket, self._prefix + name)

    def _write(self, key: str, data: bytes) -> None:
        write_object(self._client, self._bucket, key, data, once=False)

    def _listed(self) -> set[str]:
        with petra_errors(doing="list the manifests", where=self.name):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._prefix
            )
            keys = [one["Key"] for page in pages for one in page.get("Contents", ())]
        return {key.removeprefix(self._prefix) for key in keys}

    def _remove(self, keys: list[str]) -> None:
        for start in range(0, len(keys), _AT_ONCE):
            some = [{"Key": key} for key in keys[start : start + _AT_ONCE]]
            with petra_errors(doing="remove old manifests", where=self.name):
                self._client.delete_objects(
                    Bucket=self._bucket,
                    Delete={"Objects": some, "Quiet": True},  # type: ignore[typeddict-item]  # keys
                )

    def _placed(self, prefix: str, *, sent: bool) -> Placed:
        where = f"{SCHEME}{self._bucket}/{prefix}"
        return Placed(f"manifests of {self._label}", where, self.digest, sent)
