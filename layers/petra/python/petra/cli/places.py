"""Destinations that the ledger knows, opened again without a bundle: to go back, and to prune."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from petra.errors import NotFoundError

if TYPE_CHECKING:
    from petra.cli.settings import Settings
    from petra.load.destination import Placed
    from petra.load.ledger import DestinationRecord
    from petra.load.prune import Pruner
    from petra.load.rollback import Channel
    from petra.oci.registry import RegistryClient
    from petra.trust.keys import PublicKey

_K3S_NOTE = "images that the node imported stay there until its own clean-up takes them"


def channel(settings: Settings, client: RegistryClient, record: DestinationRecord) -> Channel:
    """Return the channel of a destination of manifests, ready to be moved to what `record` says."""
    if record.name.startswith("oci://"):
        return _RegistryChannel(client, record, _public_keys(settings))
    return _FolderChannel(record)


def pruner(client: RegistryClient, record: DestinationRecord) -> Pruner | None:
    """Return what takes content from a destination; None for a kind that nothing is taken from."""
    from petra.load.prune_files import ChartFolderPruner, FilePruner  # noqa: PLC0415  # start-up time
    from petra.load.prune_registry import RegistryPruner  # noqa: PLC0415  # as above

    if record.name.startswith(("registry://", "oci://")):
        return RegistryPruner(client, record)
    if record.part == "bootstrap":
        return None  # the server runs by these files; they have the same names for every bundle
    if record.part == "charts":
        return ChartFolderPruner(record)
    if record.part == "manifests":
        return FilePruner(record)
    return FilePruner(record, _K3S_NOTE) if record.name.partition(":")[0] == "k3s" else None


def _public_keys(settings: Settings) -> list[PublicKey]:
    """Return the public half of this side's key: the cluster verifies manifests with it."""
    from petra.cli.keys import signer_from  # noqa: PLC0415  # loads cryptography

    return [signer_from(settings.need("sign_key")).public_key]


@dataclass(frozen=True, slots=True)
class _RegistryChannel:
    """A tag that the cluster follows."""

    client: RegistryClient
    record: DestinationRecord
    keys: list[PublicKey]

    def move(self) -> Placed:
        """Move it; see :class:`petra.load.rollback.Channel`."""
        from petra.load.destination import Placed  # noqa: PLC0415  # start-up time
        from petra.load.manifest_registry import move_channel  # noqa: PLC0415  # as above
        from petra.oci.reference import Reference  # noqa: PLC0415  # as above

        switched = self.record.switched
        if switched is None:
            raise _not_switched(self.record)
        reference = Reference.parse(switched.reference)
        repository = self.client.repository(reference.registry, reference.repository)
        moved = move_channel(repository, reference.tag or "", switched.digest, self.keys)
        sent = moved.before != moved.digest
        return Placed(switched.name, switched.reference, switched.digest, sent)


@dataclass(frozen=True, slots=True)
class _FolderChannel:
    """A link to the folder that the cluster reads."""

    record: DestinationRecord

    def move(self) -> Placed:
        """Move it; see :class:`petra.load.rollback.Channel`."""
        from petra.load.destination import Placed  # noqa: PLC0415  # start-up time
        from petra.load.manifest_folder import move_current  # noqa: PLC0415  # as above

        switched = self.record.switched
        if switched is None or not self.record.placed:
            raise _not_switched(self.record)
        moved = move_current(Path(self.record.name), Path(self.record.placed[0].reference).name)
        return Placed(switched.name, switched.reference, switched.digest, moved)


def _not_switched(record: DestinationRecord) -> NotFoundError:
    return NotFoundError("these manifests were never what the cluster reads", where=record.name)
