"""``petra bundle sign``: sign a bundle that is there already."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from petra.cli.command import file_option, petra_command
from petra.cli.opening import open_source

if TYPE_CHECKING:
    from petra.cli.command import Call
    from petra.content.digest import Digest
    from petra.transfer.source import ChunkFolder
    from petra.trust.signer import Signer


@petra_command("sign", settings=("key",))
@file_option("The bundle, or its chunk folder.")
def command(call: Call, file: str) -> None:
    """Sign a bundle that is there already: write FILE.sig and FILE.sigstore.json beside it.

    cosign verifies both. The password of an encrypted key comes from COSIGN_PASSWORD, or you are
    asked for it. Signatures that are there already are replaced. In a chunk folder its manifest is
    signed too, when every chunk is what the manifest says.
    """
    from petra.bundle.signatures import hash_source, write_signatures  # noqa: PLC0415  # start-up time
    from petra.cli.keys import signer_from  # noqa: PLC0415  # as above

    with open_source(Path(file)) as source:
        path = Path(source.name)
        who = signer_from(call.settings.need("key"))
        key = who.public_key  # asks KMS now: a wrong key is told before the file is read
        with call.console.progress() as progress:
            progress.on_start(f"hashing {path.name}", source.size)
            digest = hash_source(source, progress)
            progress.on_done()
        if folder := getattr(source, "folder", None):
            _sign_manifest(call, folder, digest, who)
    signature, bundle = write_signatures(path, digest, who)
    call.console.result(
        {
            "file": str(path),
            "digest": digest,
            "key": key.fingerprint,
            "signature": str(signature),
            "bundle": str(bundle),
        },
        f"signed     {path}\n"
        f"digest     {digest}\n"
        f"key        sha256:{key.fingerprint}\n"
        f"signature  {signature}\n"
        f"           {bundle}",
    )


def _sign_manifest(call: Call, folder: ChunkFolder, digest: Digest, signer: Signer) -> None:
    """Sign the manifest of a chunk folder that says the truth of every file and of the whole."""
    from petra.bundle.signatures import write_signatures  # noqa: PLC0415  # start-up time
    from petra.transfer.names import MANIFEST  # noqa: PLC0415  # as above
    from petra.transfer.restore import name_damage  # noqa: PLC0415  # as above
    from petra.transfer.source import require_whole  # noqa: PLC0415  # as above

    with call.console.progress() as progress:
        name_damage(folder, progress)
    require_whole(folder, digest)
    write_signatures(folder.path / MANIFEST, folder.digest, signer)
