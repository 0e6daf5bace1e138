"""The real CDK CLI's bootstrap and deploy, against the embedded cloud."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from demo.cloud.emulator import REGION, Cloud, CloudError
from demo.cloud.tools import cdk, node

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_SECONDS = 600
_TAIL = 6000


@dataclass(frozen=True)
class Deployment:
    """The CDK CLI, as one account of the embedded cloud.

    Attributes:
        cloud: the running cloud.
        account: twelve digits.
        assembly: the folder with the synthesized templates and assets.
        region: the AWS region.
    """

    cloud: Cloud
    account: str
    assembly: Path
    region: str = REGION

    def bootstrap(self) -> None:
        """Make what the CDK needs in an account.

        Raises:
            CloudError: the CLI failed.
        """
        self._run("bootstrap", f"aws://{self.account}/{self.region}")

    def deploy(self, *stacks: str) -> dict[str, str]:
        """Deploy `stacks`; return their outputs by name.

        Raises:
            CloudError: the CLI failed.
        """
        outputs = self.cloud.folder / f"outputs-{self.account}.json"
        never = ("--require-approval", "never", "--outputs-file", str(outputs))
        self._run("deploy", *stacks, "--app", str(self.assembly), *never)
        told: dict[str, dict[str, str]] = json.loads(outputs.read_text())
        return {name: value for stack in told.values() for name, value in stack.items()}

    def _run(self, *arguments: str) -> None:
        command = [*cdk(), *arguments, "--no-notices", "--ci"]
        run_logged(
            command,
            log=self.cloud.folder / f"cdk-{arguments[0]}-{self.account}.log",
            folder=self.cloud.folder,
            environment=self.cloud.environment(self.account, self.region),
        )


def run_logged(
    command: Sequence[str], *, log: Path, folder: Path, environment: Mapping[str, str]
) -> None:
    """Run a command of the CDK's, its output in a file that stays.

    Args:
        command: program and arguments.
        log: takes its standard output and error.
        folder: where it runs.
        environment: variables besides ours.

    Raises:
        CloudError: it failed; the text has the end of its log.
    """
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "CDK_", "PETRA_"))}
    own = {
        **kept,
        **environment,
        "HOME": str(log.parent),
        "PATH": f"{node().parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "CDK_DISABLE_CLI_TELEMETRY": "true",
        "CDK_DISABLE_VERSION_CHECK": "1",
    }
    with log.open("wb") as output:
        ended = subprocess.run(
            command,
            cwd=folder,
            env=own,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            timeout=_SECONDS,
            check=False,
        )
    if ended.returncode:
        said = log.read_text(errors="replace")[-_TAIL:]
        raise CloudError(f"{log.stem} ended with {ended.returncode}\n{said}")
