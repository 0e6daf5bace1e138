"""A Receiver as Flux publishes its algorithm, in a program of its own that shares no code with us.

Source: fluxcd.io/flux/components/notification/receivers, "Generic HMAC": the path is ``/hook/`` and
``sha256sum`` of token, name and namespace; ``X-Signature`` is the hash function's name, an equals
sign, and the HMAC of the body in hex. openssl does both here.
"""

from __future__ import annotations

import json
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

TOKEN, NAME, NAMESPACE, FIRST = sys.argv[1:5]
FAILURES = [int(status) for status in FIRST.split(",") if status]


def openssl(*arguments: str, data: bytes) -> str:
    command = ["openssl", "dgst", "-sha256", *arguments]
    said = subprocess.run(command, input=data, capture_output=True, check=True).stdout
    return said.decode().strip().rpartition(" ")[2]


PATH = "/hook/" + openssl(data=f"{TOKEN}{NAME}{NAMESPACE}".encode())


class Hook(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        good = "sha256=" + openssl("-hmac", TOKEN, data=body)
        if self.path != PATH:
            status = 404
        elif FAILURES:
            status = FAILURES.pop(0)
        else:
            status = 200 if self.headers.get("X-Signature") == good else 400
        print(json.dumps({"status": status, "body": body.decode()}), flush=True)  # noqa: T201
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments: Any) -> None:
        """Say nothing beside."""


if __name__ == "__main__":
    server = HTTPServer(("127.0.0.1", 0), Hook)
    print("listening", server.server_port, flush=True)  # noqa: T201
    server.serve_forever()
