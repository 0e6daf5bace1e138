"""Lambda's Runtime API, as far as a function needs it, and a function run under it.

Source: AWS Lambda Developer Guide, "Using the Lambda runtime API", version 2018-06-01.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT: Final = Path(__file__).parents[2]
ARN: Final = "arn:aws:lambda:us-gov-west-1:123456789012:function:petra"
_PREFIX: Final = "/2018-06-01/runtime"
_WAIT: Final = 100.0


@dataclass(frozen=True)
class Answer:
    """What a function answered.

    Attributes:
        ok: whether it returned; it raised otherwise.
        body: what it returned, or ``errorType``, ``errorMessage`` and ``stackTrace``.
    """

    ok: bool
    body: Any


@dataclass
class RuntimeApi:
    """A server that hands out events and takes answers.

    Attributes:
        address: HOST:PORT.
    """

    address: str = ""
    _events: queue.Queue[bytes] = field(default_factory=queue.Queue)
    _answers: queue.Queue[Answer] = field(default_factory=queue.Queue)

    def call(self, event: Any, process: subprocess.Popen[bytes]) -> Answer:
        """Give the function an event, and return its answer."""
        self._events.put(json.dumps(event).encode())
        deadline = time.monotonic() + _WAIT
        while time.monotonic() < deadline:
            try:
                return self._answers.get(timeout=0.2)
            except queue.Empty:
                assert process.poll() is None, f"the function ended with {process.returncode}"
        raise AssertionError("the function does not answer")

    def handler(self) -> type[BaseHTTPRequestHandler]:
        """Return what answers requests."""
        api = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = api._events.get()
                self.send_response(200)
                self.send_header("Lambda-Runtime-Aws-Request-Id", "request-1")
                self.send_header(
                    "Lambda-Runtime-Deadline-Ms", str(int(time.time() * 1000) + 900_000)
                )
                self.send_header("Lambda-Runtime-Invoked-Function-Arn", ARN)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                api._answers.put(Answer(self.path.endswith("/response"), json.loads(body)))
                self.send_response(202)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base's
                pass

        return Handler


@contextmanager
def running_api() -> Iterator[RuntimeApi]:
    """Run the Runtime API until the block ends."""
    api = RuntimeApi()
    server = ThreadingHTTPServer(("127.0.0.1", 0), api.handler())
    server.daemon_threads = True
    api.address = f"127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def running_function(
    api: RuntimeApi, name: str, environment: Mapping[str, str], *, prefix: tuple[str, ...] = ()
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a Lambda under awslambdaric, from its own folder, until the block ends.

    Args:
        api: the Runtime API.
        name: the folder in ``lambdas/``.
        environment: its variables, beside those that Lambda sets.
        prefix: what the process is started by, such as ``prlimit``.
    """
    variables = {
        "AWS_LAMBDA_RUNTIME_API": api.address,
        "AWS_LAMBDA_FUNCTION_NAME": f"petra-{name}",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024",
        "AWS_REGION": "us-gov-west-1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_EC2_METADATA_DISABLED": "true",
        "POWERTOOLS_TRACE_DISABLED": "true",
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT / "layers/petra/python"),
        "HOME": "/nonexistent",
        **environment,
    }
    process = subprocess.Popen(
        [*prefix, sys.executable, "-m", "awslambdaric", "handler.handler"],
        cwd=ROOT / "lambdas" / name,
        env=variables,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
