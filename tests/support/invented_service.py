"""A service that moves objects, invented for tests: a model for boto3, and a server that plays it.

No published or unpublished API is copied; its names are made up.
"""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SERVICE = "ferryman"
_VERSION = "2026-01-01"


def write_model(folder: Path) -> Path:
    """Write the service's model; return the folder that AWS_DATA_PATH is to name."""
    place = folder / SERVICE / _VERSION
    place.mkdir(parents=True)
    (place / "service-2.json").write_text(json.dumps(_model()))
    return folder


def _model() -> dict[str, Any]:
    text = {"type": "string"}
    ferry = {
        "type": "structure",
        "required": ["Cargo", "Passage"],
        "members": {
            "Cargo": {"shape": "Cargo"},
            "Passage": {"shape": "Text"},
            "Note": {"shape": "Text"},
        },
    }
    return {
        "version": "2.0",
        "metadata": {
            "apiVersion": _VERSION,
            "endpointPrefix": SERVICE,
            "jsonVersion": "1.1",
            "protocol": "json",
            "serviceFullName": "Ferryman",
            "serviceId": "Ferryman",
            "signatureVersion": "v4",
            "targetPrefix": "Ferryman",
        },
        "operations": {
            "BoardCargo": _operation("BoardCargo", "Ferry", "Boarded"),
            "AskCargo": _operation("AskCargo", "Asked", "Answer"),
        },
        "shapes": {
            "Text": text,
            "Cargo": {
                "type": "structure",
                "members": {"Shore": {"shape": "Text"}, "Name": {"shape": "Text"}},
            },
            "Ferry": ferry,
            "Boarded": {"type": "structure", "members": {"Voyage": {"shape": "Voyage"}}},
            "Voyage": {"type": "structure", "members": {"Number": {"shape": "Text"}}},
            "Asked": {"type": "structure", "members": {"Number": {"shape": "Text"}}},
            "Answer": {
                "type": "structure",
                "members": {"Water": {"shape": "Text"}, "Why": {"shape": "Text"}},
            },
        },
    }


def _operation(name: str, given: str, answer: str) -> dict[str, Any]:
    http = {"method": "POST", "requestUri": "/"}
    return {"name": name, "http": http, "input": {"shape": given}, "output": {"shape": answer}}


@dataclass
class Ferryman:
    """The service.

    Attributes:
        url: where it listens.
        voyages: by token, what was asked for first.
        calls: operation and parameters of every call.
        failures: error codes to answer the next calls with.
        sunk: names of objects that will not arrive.
        looks: how often a voyage is under way before it has arrived.
    """

    url: str = ""
    voyages: dict[str, dict[str, Any]] = field(default_factory=dict)
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    sunk: tuple[str, ...] = ()
    looks: int = 1

    def answer(self, operation: str, given: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        self.calls.append((operation, given))
        if self.failures:
            return 400, {"__type": self.failures.pop(0), "message": "not now"}
        if operation == "BoardCargo":
            token = given["Passage"]
            self.voyages.setdefault(token, {**given, "seen": 0})
            return 200, {"Voyage": {"Number": f"v-{token[:8]}"}}
        token = next(token for token in self.voyages if given["Number"] == f"v-{token[:8]}")
        voyage = self.voyages[token]
        voyage["seen"] += 1
        if voyage["Cargo"]["Name"] in self.sunk:
            return 200, {"Water": "SUNK", "Why": "too heavy"}
        return 200, {"Water": "AFLOAT" if voyage["seen"] <= self.looks else "ASHORE"}


@contextmanager
def running_ferryman() -> Iterator[Ferryman]:
    """Run the service on loopback until the block ends."""
    ferryman = Ferryman()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # http.server's name
            given = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            operation = self.headers["X-Amz-Target"].partition(".")[2]
            status, value = ferryman.answer(operation, given)
            body = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        ferryman.url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield ferryman
        finally:
            server.shutdown()
            thread.join()
