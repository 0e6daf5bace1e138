"""Charts made for tests: good ones, and tar archives that no good tool writes."""

from __future__ import annotations

import gzip
import tarfile
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Mapping

_DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .Release.Name }}
spec:
  selector: {matchLabels: {app: x}}
  template:
    metadata: {labels: {app: x}}
    spec:
      containers:
      - name: main
        image: "{{ .Values.image.repository }}:{{ .Values.image.tag }}"
"""
_VALUES = """\
image:
  repository: registry.example/team/app
  tag: "1.0"
"""


def chart_files(name: str = "app", version: str = "1.2.3", **metadata: Any) -> dict[str, bytes]:
    """Return the files of a small chart that installs, below its folder."""
    chart = {"apiVersion": "v2", "name": name, "version": version, **metadata}
    return {
        f"{name}/Chart.yaml": yaml.safe_dump(chart).encode(),
        f"{name}/values.yaml": _VALUES.encode(),
        f"{name}/templates/deployment.yaml": _DEPLOYMENT.encode(),
    }


def chart(
    name: str = "app",
    version: str = "1.2.3",
    more: Mapping[str, bytes] | None = None,
    **metadata: Any,
) -> bytes:
    """Return a chart's ``.tgz``, with `more` files by their path below the chart's folder."""
    files = chart_files(name, version, **metadata)
    files |= {f"{name}/{path}": content for path, content in (more or {}).items()}
    return packed(*(member(path, content) for path, content in files.items()))


def member(name: str, content: bytes = b"", **fields: Any) -> bytes:
    """Return one tar member; `fields` are those of a TarInfo, ``type``, ``mode``, ``size`` …"""
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), 0o644
    for field, value in fields.items():
        setattr(info, field, value)
    return info.tobuf(tarfile.GNU_FORMAT) + content + bytes(-len(content) % 512)


def packed(*members: bytes, end: bytes = bytes(1024)) -> bytes:
    """Return members, as :func:`member` makes them, as a ``.tgz``."""
    return gzip.compress(b"".join(members) + end, mtime=0)
