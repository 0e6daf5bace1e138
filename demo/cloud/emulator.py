"""MiniStack as a process: on loopback, with a folder of its own, ended by its id."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import urllib3

if TYPE_CHECKING:
    from collections.abc import Iterator

_HERE = Path(__file__).resolve().parent
#: Where ``make cloud-tools`` puts MiniStack, Node and the CDK CLI.
TOOLS = _HERE.parents[1] / ".cache" / "cloud"
PYTHON = TOOLS / "venv" / "bin" / "python"
REGION = "us-east-1"
#: No PYTHONPATH: the functions would inherit it.
_START = f"""
import sys
sys.path.insert(0, {str(_HERE.parents[1])!r})
from demo.cloud.fidelity import main
main()
"""
_ATTEMPTS = 3
_READY_SECONDS = 60
_PATIENCE_SECONDS = 15
_LOG_TAIL = 4000


class CloudError(RuntimeError):
    """The embedded cloud did not do as it should; the text has the end of its log."""


@dataclass(frozen=True)
class Cloud:
    """A running embedded cloud.

    Attributes:
        url: its one endpoint, for all services.
        folder: its log and temporary files.
        process: MiniStack's.
    """

    url: str
    folder: Path
    process: subprocess.Popen[bytes]

    @property
    def log(self) -> Path:
        """The file with all that it and its functions say."""
        return self.folder / "cloud.log"

    def environment(self, account: str, region: str = REGION) -> dict[str, str]:
        """Return the variables that point an AWS tool at it, as one of its accounts.

        Args:
            account: twelve digits: to the embedded cloud, the access key is the account.
            region: the AWS region.
        """
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ENDPOINT_URL_S3": self.url,
            "AWS_ACCESS_KEY_ID": account,
            "AWS_SECRET_ACCESS_KEY": "embedded",
            "AWS_REGION": region,
            "AWS_DEFAULT_REGION": region,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }

    def client(self, service: str, account: str, region: str = REGION) -> Any:
        """Return a boto3 client for `service`, as one of its accounts."""
        import boto3  # noqa: PLC0415, TID251  # the demo stands outside the library
        from botocore.config import Config  # noqa: PLC0415

        return boto3.client(  # type: ignore[call-overload]  # any service
            service,
            region_name=region,
            endpoint_url=self.url,
            aws_access_key_id=account,
            aws_secret_access_key="embedded",  # noqa: S106  # the cloud asks for none
            config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 2}),
        )

    def tail(self) -> str:
        """Return the end of its log."""
        return self.log.read_text(errors="replace")[-_LOG_TAIL:]


@contextmanager
def embedded_cloud(
    folder: Path, *, plain: bool = False, wait_scale: float = 1.0
) -> Iterator[Cloud]:
    """Run MiniStack until the block ends.

    Args:
        folder: takes its log and temporary files; made where it is not there.
        plain: without the repairs of :mod:`demo.cloud.fidelity`.
        wait_scale: what a second in a Wait state or before a retry is worth.

    Raises:
        CloudError: it does not start, or `make cloud-tools` was not run.
    """
    if not PYTHON.exists():
        raise CloudError("MiniStack is not there; `make cloud-tools` installs it")
    folder.mkdir(parents=True, exist_ok=True)
    cloud = _started(folder, plain=plain, wait_scale=wait_scale)
    try:
        yield cloud
    finally:
        _end(cloud.process)


def _started(folder: Path, *, plain: bool, wait_scale: float) -> Cloud:
    """Start it on a port that is free; another process may take the port first, so try again."""
    for _ in range(_ATTEMPTS):
        port = _free_port()
        cloud = _start(folder, port, plain=plain, wait_scale=wait_scale)
        if _ready(cloud):
            return cloud
        _end(cloud.process)
        if "already in use" not in cloud.tail():
            break
    raise CloudError(f"the embedded cloud does not start\n{cloud.tail()}")


def _start(folder: Path, port: int, *, plain: bool, wait_scale: float) -> Cloud:
    temporary = folder / "tmp"
    temporary.mkdir(exist_ok=True)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "PETRA_", "PYTHON"))}
    environment = {
        **kept,
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(port),
        "MINISTACK_HOST": "127.0.0.1",
        "MINISTACK_REGION": REGION,
        "SFN_WAIT_SCALE": str(wait_scale),
        "IOT_MTLS_ENABLED": "false",
        "SFTP_ENABLED": "false",
        "TMPDIR": str(temporary),
    }
    with (folder / "cloud.log").open("wb") as log:
        process = subprocess.Popen(
            [PYTHON, "-c", _START, *(["--plain"] if plain else [])],
            cwd=temporary,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    return Cloud(f"http://127.0.0.1:{port}", folder, process)


def _ready(cloud: Cloud) -> bool:
    http = urllib3.PoolManager(retries=False, timeout=_READY_SECONDS)
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline and cloud.process.poll() is None:
        try:
            if http.request("GET", f"{cloud.url}/_ministack/health").status == 200:  # noqa: PLR2004
                return True
        except urllib3.exceptions.HTTPError:
            time.sleep(0.05)
    return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _end(process: subprocess.Popen[bytes]) -> None:
    """End it by its id, then what is left of its session: its functions' workers."""
    process.terminate()
    try:
        process.wait(_PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
