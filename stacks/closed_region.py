"""The disconnected side as plain templates with their assets, in one archive.

``python -m stacks.closed_region OUT [SETTINGS.json]``. Over there nothing of CDK is needed: a
bucket for the assets, its name as the parameter ``AssetsBucket``, and CloudFormation.
"""

from __future__ import annotations

import json
import shutil
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from aws_cdk import App, CliCredentialsStackSynthesizer, Stack

from petra.content.digest import Hasher
from petra.encoding.json import load_json
from petra.errors import PetraError, SettingError
from stacks.app import build
from stacks.settings import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME: Final = "petra-classified"
PREFIX: Final = "petra/"
PARAMETER: Final = "AssetsBucket"
#: A name that no bucket can have; replaced by the parameter in the written template.
_PLACEHOLDER: Final = "petra-assets-bucket-parameter"
_CHUNK: Final = 1024 * 1024


def write(out: Path, context: dict[str, Any]) -> Path:
    """Write the archive.

    Args:
        out: the folder for it.
        context: CDK's, with ``petra``; its connected side is left out.

    Returns:
        The archive.

    Raises:
        SettingError: the settings are not usable, or have no disconnected side.
    """
    with tempfile.TemporaryDirectory() as scratch:
        assembly, folder = Path(scratch, "cdk.out"), Path(scratch, NAME)
        folder.mkdir()
        for stack in _synthesize(assembly, context):
            _copy(assembly, stack, folder)
        _sums(folder)
        out.mkdir(parents=True, exist_ok=True)
        archive = out / f"{NAME}.tar.gz"
        with tarfile.open(archive, "w:gz") as tar:
            tar.add(folder, NAME, filter=_plain)
    return archive


def _synthesize(assembly: Path, context: dict[str, Any]) -> list[str]:
    side = context["petra"].get("classified")
    if not side:
        raise SettingError("there is no disconnected side in the settings", where="petra")
    ours = context | {"petra": {"classified": side}}
    app = App(context=ours, outdir=str(assembly), analytics_reporting=False)
    synthesizer = CliCredentialsStackSynthesizer(
        file_assets_bucket_name=_PLACEHOLDER, bucket_prefix=PREFIX
    )
    stacks: list[Stack] = build(app, synthesizer)
    app.synth()
    return [stack.stack_name for stack in stacks]


def _copy(assembly: Path, stack: str, folder: Path) -> None:
    """Copy one stack's template, with the bucket as a parameter, and its assets as zips."""
    manifest = json.loads((assembly / f"{stack}.assets.json").read_text(encoding="utf-8"))
    if manifest.get("dockerImages"):
        raise SettingError("an image cannot go into the archive", where=stack)
    template = json.loads((assembly / f"{stack}.template.json").read_text(encoding="utf-8"))
    used = _replaced(template)
    if used != template:
        used.setdefault("Parameters", {})[PARAMETER] = {
            "Type": "String",
            "Description": f"The bucket that has the archive's assets, below {PREFIX}",
        }
    text = json.dumps(used, indent=1)
    (folder / f"{stack}.template.json").write_text(text, encoding="utf-8")
    for each in manifest["files"].values():
        source, packaging = assembly / each["source"]["path"], each["source"]["packaging"]
        (target,) = each["destinations"].values()
        if packaging == "zip":
            _zip(source, folder / "assets" / target["objectKey"].removeprefix(PREFIX))


def _replaced(part: Any) -> Any:
    if isinstance(part, dict):
        return {key: _replaced(value) for key, value in part.items()}
    if isinstance(part, list):
        return [_replaced(value) for value in part]
    return {"Ref": PARAMETER} if part == _PLACEHOLDER else part


def _zip(source: Path, target: Path) -> None:
    target.parent.mkdir(exist_ok=True)
    shutil.make_archive(str(target.with_suffix("")), "zip", source)


def _sums(folder: Path) -> None:
    lines = [f"{_hex(path)}  {path.relative_to(folder)}\n" for path in _files(folder)]
    (folder / "SHA256SUMS").write_text("".join(lines), encoding="utf-8")


def _files(folder: Path) -> Iterator[Path]:
    yield from sorted(path for path in folder.rglob("*") if path.is_file())


def _hex(path: Path) -> str:
    hasher = Hasher()
    with path.open("rb") as file:
        while block := file.read(_CHUNK):
            hasher.update(block)
    return hasher.digest().hex


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Leave out who made it and when."""
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ""
    return member


def _context(arguments: list[str]) -> dict[str, Any]:
    context: dict[str, Any] = load_json((ROOT / "cdk.json").read_bytes(), where="cdk.json")[
        "context"
    ]
    if arguments:
        context |= {"petra": load_json(Path(arguments[0]).read_bytes(), where=arguments[0])}
    return context


def main(arguments: list[str]) -> int:
    """Write the archive, and say where."""
    try:
        archive = write(Path(arguments[0]), _context(arguments[1:]))
    except PetraError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_status
    sys.stdout.write(f"{archive}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
