"""``petra keygen``: make a pair of keys."""

from __future__ import annotations

import os
from pathlib import Path

import click

from petra.cli.command import Call, petra_command
from petra.cli.files import from_os_error
from petra.errors import SettingError, UsageError


@petra_command("keygen")
@click.option(
    "--prefix",
    "--output-key-prefix",
    default="cosign",
    show_default=True,
    metavar="PREFIX",
    help="Write PREFIX.key and PREFIX.pub.",
)
@click.option(
    "--output-dir", default=".", show_default=True, metavar="DIR", help="Folder to write to."
)
def command(call: Call, prefix: str, output_dir: str) -> None:
    """Make a pair of keys that sign and verify bundles, in cosign's format.

    The private key is encrypted under COSIGN_PASSWORD (which may be empty), or under a password
    that is asked for. Files that are there already are never overwritten.
    """
    from petra.cli.keys import PASSWORD_VARIABLE, new_password  # noqa: PLC0415  # as needed
    from petra.trust.keys import generate_key, load_public_key  # noqa: PLC0415  # as needed

    private, public = (Path(output_dir, prefix + suffix) for suffix in (".key", ".pub"))
    for path in (private, public):
        _refuse_existing(path)
    password = new_password(str(private))
    if password is None:
        raise SettingError(
            "no password for the new key",
            hint=f"set {PASSWORD_VARIABLE} (it may be empty), or run it on a terminal",
        )
    private_pem, public_pem = generate_key(password)
    _write_new(private, private_pem, 0o600)
    try:
        _write_new(public, public_pem, 0o644)
    except BaseException:
        private.unlink()
        raise
    key = load_public_key(public_pem, where=str(public))
    call.console.result(
        {"privateKey": str(private), "publicKey": str(public), "fingerprint": key.fingerprint},
        f"private key  {private}\npublic key   {public}\nfingerprint  {key.fingerprint}",
    )


def _refuse_existing(path: Path) -> None:
    if os.path.lexists(path):
        raise UsageError(
            "there is such a file already",
            where=str(path),
            hint="keys are never overwritten; move it away, or give another --prefix",
        )


def _write_new(path: Path, data: bytes, mode: int) -> None:
    """Write a file that must not be there yet; nothing is left of it when that fails."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        _refuse_existing(path)
        raise
    except OSError as error:
        raise from_os_error(error) from None
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except BaseException as error:
        path.unlink()
        if isinstance(error, OSError):
            raise from_os_error(error) from None
        raise
