"""``petra bundle sign``: sign a bundle that is there already."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from petra.cli.command import file_option, petra_command

if TYPE_CHECKING:
    from petra.cli.command import Call


@petra_command("sign", settings=("key",))
@file_option("The bundle.")
def command(call: Call, file: str) -> None:
    """Sign a bundle that is there already: write FILE.sig and FILE.sigstore.json beside it.

    cosign verifies both. The password of an encrypted key comes from COSIGN_PASSWORD, or you are
    asked for it. Signatures that are there already are replaced.
    """
    from petra.archive.source import FileSource  # noqa: PLC0415  # start-up time
    from petra.bundle.signatures import hash_source, write_signatures  # noqa: PLC0415  # as above
    from petra.cli.keys import signer_from  # noqa: PLC0415  # as above

    path = Path(file)
    with FileSource(path) as source:
        who = signer_from(call.settings.need("key"))
        key = who.public_key  # asks KMS now: a wrong key is told before the file is read
        with call.console.progress() as progress:
            progress.on_start(f"hashing {path.name}", source.size)
            digest = hash_source(source, progress)
            progress.on_done()
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
