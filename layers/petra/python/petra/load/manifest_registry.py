"""Platform manifests into a registry: an artifact, its signature, and the channel Flux follows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from petra.content.stream import fetch_document
from petra.errors import FormatError, NotFoundError, PolicyError, UsageError
from petra.helm.artifact import chart_tag
from petra.load.cosign import FORMS, require_signed, sign, signed_forms
from petra.load.destination import Loaded, Part, Placed, Survey
from petra.load.flux_artifact import flux_artifact
from petra.load.oci_places import RegistryPlace
from petra.load.rendering import LocalRegistry, local_manifests
from petra.oci.manifest import parse_manifest
from petra.oci.media_types import FLUX_CONFIG
from petra.oci.reference import TAG_PATTERN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from petra.content.descriptor import Descriptor
    from petra.content.digest import Digest
    from petra.content.progress import Progress
    from petra.load.destination import OpenBundle
    from petra.load.oci_places import Registries
    from petra.oci.repository import Repository
    from petra.trust.keys import PublicKey
    from petra.trust.signer import Signer

#: The tag that the cluster's OCIRepository follows, unless another one is named.
CHANNEL = "stable"


@dataclass(frozen=True, slots=True)
class Moved:
    """A channel that stands for something now.

    Attributes:
        channel: ``HOST/REPOSITORY:CHANNEL``.
        digest: what it stands for.
        before: what it stood for; None if it was not there.
    """

    channel: str
    digest: Digest
    before: Digest | None

    @property
    def revision(self) -> str:
        """What Flux calls it in ``status.artifact.revision``, ``CHANNEL@sha256:…``."""
        return f"{self.channel.rpartition(':')[2]}@{self.digest}"


class ManifestRegistry:
    """The repository of a registry that takes a bundle's platform manifests.

    Publishing pushes the blobs, the manifest, the tag of the bundle's version, and the signature.
    The cluster follows another tag, the channel, which only :meth:`switch` moves.

    Args:
        bundle: whose manifests.
        registries: opens repositories; credentials are its own.
        url: ``oci://HOST[:PORT]/REPOSITORY[:CHANNEL]``.
        signer: the local domain's key, whose public half the cluster verifies with.
        local: how the cluster reaches the registry.
        replace: let the version's tag move, where it stands for something else.

    Raises:
        UsageError: `url` is malformed, or the bundle's manifests cannot be used with `local`.
        IncompleteError: a manifest points outside.
    """

    part: Part = "manifests"

    def __init__(  # all of them are decisions of the caller's
        self,
        bundle: OpenBundle,
        registries: Registries,
        url: str,
        *,
        signer: Signer,
        local: LocalRegistry,
        replace: bool = False,
    ) -> None:
        self.name = url
        self.place = place = RegistryPlace.repository(url)
        self.public_key = signer.public_key
        self.channel = place.tag or CHANNEL
        self.version = version_tag(bundle)
        if self.channel == self.version:
            raise UsageError(
                "the channel cannot be the version's own tag",
                where=url,
                hint=f"name another channel; without one it is {CHANNEL}",
            )
        self.artifact = flux_artifact(local_manifests(bundle, local), bundle)
        self._label = f"{bundle.metadata.name} {bundle.metadata.version}"
        self._repository = registries.repository(place.registry, place.path)
        self._signer = signer
        self._replace = replace
        self._notes = local.notes()

    def survey(self) -> Survey:
        """Find out what a load would do; change nothing.

        Raises:
            PolicyError: the version's tag stands for something else.
            PetraError: as for ``Repository.resolve``.
        """
        tagged = self._tagged()
        missing = self.artifact.missing(self._repository)
        whole = tagged and not missing and self._is_signed()
        now = resolved(self._repository, self.channel)
        is_there = now is not None and now.digest == self.artifact.digest
        moves = f"the channel {self.channel} moves to {self.artifact.digest}"
        return Survey(
            part=self.part,
            destination=self.name,
            items=1,
            present=int(whole),
            bytes_total=self.artifact.size,
            bytes_to_send=missing,
            notes=(*self._notes, *(() if is_there else (moves,))),
        )

    def load(self, progress: Progress) -> Loaded:
        """Publish, then switch.

        Raises:
            PetraError: as for :meth:`publish` and :meth:`switch`.
        """
        loaded = self.publish(progress)
        self.switch()
        return loaded

    def publish(self, progress: Progress) -> Loaded:
        """Put the artifact and its signature in place; the channel stays where it is.

        Raises:
            PolicyError: the version's tag stands for something else.
            PetraError: as for ``Repository.push``.
        """
        progress.on_start(f"manifests to {self.name}", self.artifact.size)
        tagged = self._tagged()
        sent = self.artifact.push(self._repository)
        progress.on_progress(self.artifact.size)
        if not tagged:
            self._repository.tag(self.artifact.descriptor, self.version)
        sent += sign(self._repository, self.artifact.descriptor, self._signer)
        progress.on_done()
        placed = self._placed(self.version, sent=bool(sent))
        return Loaded(self.part, self.name, (placed,), sent, self._notes)

    def switch(self) -> Placed:
        """Move the channel to what was published; to be called after everything else.

        Raises:
            NotFoundError: it was not published.
            SignatureError: its signature is not there.
            PetraError: as for ``Repository.tag``.
        """
        moved = move_channel(
            self._repository, self.channel, self.artifact.digest, [self.public_key]
        )
        return self._placed(self.channel, sent=moved.before != moved.digest)

    @property
    def digest(self) -> Digest:
        """The artifact's."""
        return self.artifact.digest

    def _is_signed(self) -> bool:
        forms = signed_forms(self._repository, self.artifact.descriptor, self.public_key)
        return forms == FORMS

    def _tagged(self) -> bool:
        """Say whether the version's tag stands for the artifact; refuse it for anything else."""
        found = resolved(self._repository, self.version)
        if found and found.digest != self.artifact.digest and not self._replace:
            raise PolicyError(
                f"other manifests are there as version {self.version} already",
                where=f"{self._repository.name}:{self.version}",
                expected=self.artifact.digest,
                found=found.digest,
                hint="load a bundle with another version, or to another repository; "
                "or let the tag move (--replace)",
            )
        return found is not None and found.digest == self.artifact.digest

    def _placed(self, tag: str, *, sent: bool) -> Placed:
        digest = self.artifact.digest
        reference = f"{self._repository.name}:{tag}@{digest}"
        return Placed(f"manifests of {self._label}", reference, digest, sent)


def version_tag(bundle: OpenBundle) -> str:
    """Return the tag that a bundle's manifests have for good: its version, ``+`` as ``_``."""
    return chart_tag(bundle.metadata.version)


def move_channel(repository: Repository, channel: str, to: str, keys: Sequence[PublicKey]) -> Moved:
    """Let a channel stand for manifests that were published before: forward, or back.

    What it is to stand for must be whole in the registry, manifests, and signed.

    Args:
        repository: where the manifests are.
        channel: the tag that the cluster follows.
        to: a digest, or the tag of a version.
        keys: whose signature counts: those that the cluster verifies with.

    Raises:
        NotFoundError: `to` is not there, or not whole.
        FormatError: it is something else than manifests.
        SignatureError: none of `keys` signed it.
        UsageError: `channel` is no tag.
    """
    if not TAG_PATTERN.fullmatch(channel):
        raise UsageError("not a channel", where=channel[:200], expected="a tag")
    target = repository.resolve(to)
    _require_whole(repository, target)
    require_signed(repository, target, keys)
    before = resolved(repository, channel)
    if before is None or before.digest != target.digest:
        repository.tag(target, channel)
    return Moved(f"{repository.name}:{channel}", target.digest, before.digest if before else None)


def resolved(repository: Repository, reference: str) -> Descriptor | None:
    """Return what a tag or a digest stands for; None where it is not there."""
    try:
        return repository.resolve(reference)
    except NotFoundError:
        return None


def _require_whole(repository: Repository, target: Descriptor) -> None:
    where = f"{repository.name}@{target.digest}"
    raw = fetch_document(repository, target, where=where)
    manifest = parse_manifest(raw, target.media_type, where=where)
    kind = manifest.effective_artifact_type
    if kind != FLUX_CONFIG:
        raise FormatError("no manifests for Flux", where=where, expected=FLUX_CONFIG, found=kind)
    for blob in manifest.successors():
        if not repository.exists(blob):
            raise NotFoundError(
                "the registry lacks a part of the manifests",
                where=where,
                expected=blob.digest,
                hint="load the bundle again",
            )
