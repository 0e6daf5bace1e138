"""The three layers of every function: dependencies, petra itself, and the configuration.

Each is put together by plain copies or pip into a folder; no docker is asked for at synthesis.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import jsii
from aws_cdk import AssetHashType, BundlingOptions, DockerImage, ILocalBundling, Stack
from aws_cdk import aws_lambda as lambda_

from petra.content.digest import Digest
from stacks.settings import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from constructs import Construct

    from stacks.settings import Side

LOCK: Final = ROOT / "requirements" / "lambda.txt"
LIBRARY: Final = ROOT / "layers" / "petra" / "python" / "petra"
PLATFORM: Final = ROOT / "platform"
#: The folder on ``sys.path`` that has the policy and its keys.
CONFIG_PACKAGE: Final = "petra_config"

_WHEELS: Final = {"arm64": "aarch64", "x86_64": "x86_64"}
_IGNORED: Final = shutil.ignore_patterns("__pycache__", "*.pyc")


@jsii.implements(ILocalBundling)
class Folders:
    """Copies folders into the layer.

    Args:
        sources: where each goes in the layer, and where it comes from.
    """

    def __init__(self, sources: dict[str, Path]) -> None:
        self._sources = sources

    def try_bundle(self, output_dir: str, *_: object, **__: object) -> bool:
        """Copy, and say that it is done."""
        for place, source in self._sources.items():
            shutil.copytree(source, Path(output_dir, place), ignore=_IGNORED, dirs_exist_ok=True)
        return True


@jsii.implements(ILocalBundling)
class Wheels:
    """Installs the locked dependencies for the functions' own platform, wheels only.

    Args:
        runtime: such as ``python3.13``.
        architecture: ``arm64`` or ``x86_64``.
    """

    def __init__(self, runtime: str, architecture: str) -> None:
        self._version = runtime.removeprefix("python")
        self._machine = _WHEELS[architecture]

    def try_bundle(self, output_dir: str, *_: object, **__: object) -> bool:
        """Install, and say that it is done."""
        platforms = [f"--platform=manylinux{tag}_{self._machine}" for tag in _GLIBCS]
        subprocess.run(  # noqa: S603  # our own interpreter and lock
            [
                sys.executable,
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--no-compile",
                "--no-deps",
                "--require-hashes",
                "--only-binary=:all:",
                "--implementation=cp",
                f"--python-version={self._version}",
                *platforms,
                f"--target={Path(output_dir, 'python')}",
                f"--requirement={LOCK}",
            ],
            check=True,
        )
        return True


#: Amazon Linux 2023 has glibc 2.34; pip wants every tag that it may take.
_GLIBCS: Final = ("_2_34", "_2_28", "_2_27", "_2_26", "_2_24", "_2_17", "2014", "_2_12", "_2_5")


@dataclass(frozen=True)
class Layers:
    """The layers of one stack's functions. They live in the stack that uses them."""

    dependencies: lambda_.LayerVersion
    library: lambda_.LayerVersion
    config: lambda_.LayerVersion

    @classmethod
    def make(cls, scope: Construct, side: Side) -> Layers:
        """Make them.

        Args:
            scope: the stack.
            side: settings: runtime, architecture, folder of the configuration.
        """
        config = ROOT / side.config
        variant = f"{side.runtime} {side.architecture}"
        return cls(
            dependencies=_layer(
                scope,
                side,
                "Dependencies",
                Wheels(side.runtime, side.architecture),
                _hash(variant, [LOCK]),
            ),
            library=_layer(
                scope,
                side,
                "Library",
                Folders({"python/petra": LIBRARY, "python/petra/platform": PLATFORM}),
                _hash("library", [LIBRARY, PLATFORM]),
            ),
            config=_layer(
                scope,
                side,
                "Config",
                Folders({f"python/{CONFIG_PACKAGE}": config}),
                _hash("config", [config]),
            ),
        )

    def all(self) -> list[lambda_.ILayerVersion]:
        """Return them in the order in which Lambda lays them over each other."""
        return [self.dependencies, self.library, self.config]


def scanner_layer(scope: Construct, side: Side, folder: Path) -> lambda_.LayerVersion:
    """Return a layer with the programs in `folder`'s ``bin``, which Lambda has in its ``PATH``."""
    return _layer(scope, side, "Scanner", Folders({"bin": folder / "bin"}), _hash("bin", [folder]))


def _layer(
    scope: Construct, side: Side, name: str, bundling: ILocalBundling, digest: str
) -> lambda_.LayerVersion:
    code = lambda_.Code.from_asset(
        str(ROOT / "requirements"),  # never read: the bundling has its own sources
        asset_hash=digest,
        asset_hash_type=AssetHashType.CUSTOM,
        bundling=BundlingOptions(image=_NO_IMAGE, local=bundling),
    )
    return lambda_.LayerVersion(
        scope,
        name,
        description=f"{Stack.of(scope).stack_name} {name.lower()}",
        code=code,
        compatible_runtimes=[lambda_.Runtime(side.runtime, lambda_.RuntimeFamily.PYTHON)],
    )


#: CDK asks for an image though it is never run.
_NO_IMAGE: Final = DockerImage.from_registry("none")


def _hash(label: str, sources: Iterable[Path]) -> str:
    """Return a hash over names and content, so that a layer changes with what is in it only."""
    lines = [label]
    for source in sources:
        lines += [f"{path.relative_to(source.parent)} {_digest(path)}" for path in _files(source)]
    return Digest.of("\n".join(lines).encode()).hex


def _files(source: Path) -> list[Path]:
    if source.is_file():
        return [source]
    found = (path for path in source.rglob("*") if path.is_file())
    return sorted(path for path in found if "__pycache__" not in path.parts)


def _digest(path: Path) -> str:
    return Digest.of(path.read_bytes()).hex
