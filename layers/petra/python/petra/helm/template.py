"""What images a chart needs: asked of Helm itself where it is at hand, else of the chart."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from petra.encoding.yaml import dump_yaml
from petra.errors import SettingError, ToolError, UsageError
from petra.helm.chart import ChartInfo, inspect_chart
from petra.helm.documents import load_documents
from petra.helm.images import ChartImage, Found, images_in_manifests

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Names the helm to use; empty says that there is none.
HELM_VARIABLE = "PETRA_HELM"
#: A Kubernetes version that charts of today accept, where the caller names none.
KUBE_VERSION = "1.31.0"

_SECONDS = 60.0
_POLL_SECONDS = 0.02
_OUTPUT_LIMIT = 64 * 1024 * 1024
_ERROR_LIMIT = 2_000
# Nobody listens there: a chart's schema may name a URL, and rendering must not leave the machine.
_NOWHERE = "http://127.0.0.1:1"


@dataclass(frozen=True, slots=True)
class RenderedImages:
    """The images that a chart needs.

    Attributes:
        images: each reference once, with the place that names it first.
        unreadable: path and text of what stood in an image's place but is no reference.
        rendered: whether Helm rendered the chart with the values given; if not, the images are
            those that the chart declares (`source` ``declared``) and, failing that, those that its
            default values seem to name (``guessed``).
    """

    images: tuple[ChartImage, ...]
    unreadable: tuple[tuple[str, str], ...]
    rendered: bool


def find_helm(environment: Mapping[str, str] | None = None) -> Path | None:
    """Return the helm program, or None where there is none.

    Args:
        environment: ours by default. ``PETRA_HELM`` names it, or says by being empty that none is
            to be used; else it is looked for in ``PATH``.

    Raises:
        SettingError: ``PETRA_HELM`` names no program.
    """
    environment = os.environ if environment is None else environment
    named = environment.get(HELM_VARIABLE)
    if named == "":
        return None
    path = shutil.which(named or "helm", path=environment.get("PATH", ""))
    if named and not path:
        raise SettingError(
            f"{HELM_VARIABLE} names no program",
            where=HELM_VARIABLE,
            found=named,
            hint=f"set {HELM_VARIABLE} to the path of helm, or unset it to look in PATH",
        )
    return Path(path) if path else None


def render_chart(
    chart: bytes | Path,
    *,
    helm: Path | None = None,
    values: Mapping[str, Any] | None = None,
    release_name: str = "release",
    namespace: str = "default",
    kube_version: str = KUBE_VERSION,
    api_versions: Sequence[str] = (),
) -> bytes:
    """Return the manifests that ``helm template`` makes of a chart.

    Helm runs with an empty home and no way to the network. Tests of the chart are left out.

    Args:
        chart: the ``.tgz``, or the path of one or of an unpacked chart.
        helm: the program; by default the one that :func:`find_helm` finds.
        values: over the chart's own; as a HelmRelease has them.
        release_name: up to 53 characters.
        namespace: the release's.
        kube_version: what the chart is told of the cluster.
        api_versions: further API groups that the cluster is said to have,
            ``monitoring.coreos.com/v1``.

    Returns:
        YAML, one document for each object.

    Raises:
        ToolError: there is no helm, it failed, took more than a minute, or wrote more than 64 MiB.
        UsageError: a value of the call would be taken for a flag.
    """
    for text in (release_name, namespace, kube_version, *api_versions):
        if not text or text.startswith("-"):
            raise UsageError("not a usable name or version for helm", found=text or "(empty)")
    program = helm or find_helm()
    if program is None:
        raise ToolError("helm is not at hand", hint=f"put helm in PATH, or set {HELM_VARIABLE}")
    with tempfile.TemporaryDirectory(prefix="petra-helm-") as name:
        folder = Path(name)
        path = chart if isinstance(chart, Path) else folder / "chart.tgz"
        if isinstance(chart, bytes):
            path.write_bytes(chart)
        (folder / "values.yaml").write_bytes(dump_yaml(dict(values or {})))
        command = [str(program), "template", release_name, str(path.absolute())]
        command += ["--namespace", namespace, "--kube-version", kube_version, "--skip-tests"]
        command += ["--values", str(folder / "values.yaml")]
        command += [part for group in api_versions for part in ("--api-versions", group)]
        return _run(command, folder, f"helm template {release_name}")


def rendered_images(
    chart: bytes | Path,
    *,
    helm: Path | None = None,
    values: Mapping[str, Any] | None = None,
    release_name: str = "release",
    namespace: str = "default",
    kube_version: str = KUBE_VERSION,
    api_versions: Sequence[str] = (),
) -> RenderedImages:
    """Return the images in what ``helm template`` makes of a chart; arguments as there.

    Raises:
        ToolError: as for :func:`render_chart`.
        FormatError: what it made is no YAML.
    """
    manifests = render_chart(
        chart,
        helm=helm,
        values=values,
        release_name=release_name,
        namespace=namespace,
        kube_version=kube_version,
        api_versions=api_versions,
    )
    documents = load_documents(manifests, where=f"helm template {release_name}")
    found = images_in_manifests(documents)
    return RenderedImages(found.images, found.unreadable, rendered=True)


def declared_images(chart: bytes | ChartInfo, *, where: str = "chart") -> RenderedImages:
    """Return the images that a chart declares, and those that its default values seem to name.

    Declared are those of the annotations ``artifacthub.io/images`` and ``images``. Guesses may be
    of no use to the release, so a caller can warn of them and not insist.

    Args:
        chart: the ``.tgz``, or what :func:`petra.helm.chart.inspect_chart` gave.
        where: what to name in paths and errors, for bytes.
    """
    info = inspect_chart(chart, where=where) if isinstance(chart, bytes) else chart
    parts: list[Found] = [info.declared, info.guessed]
    images: dict[str, ChartImage] = {}
    for image in (image for part in parts for image in part.images):
        images.setdefault(image.reference, image)
    unreadable = tuple(item for part in parts for item in part.unreadable)
    return RenderedImages(tuple(images.values()), unreadable, rendered=False)


def _run(command: list[str], folder: Path, what: str) -> bytes:
    """Run helm with its output in files, so that neither a full pipe nor memory can stop us."""
    output, errors = folder / "stdout", folder / "stderr"
    with output.open("wb") as out, errors.open("wb") as err:
        try:
            process = subprocess.Popen(  # noqa: S603  # the program that the user chose
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=_environment(folder),
                cwd=folder,
            )
        except OSError as error:
            raise ToolError("helm cannot be run", where=command[0], found=error.strerror) from None
        try:
            reason = _wait(process, output, errors)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    if reason or process.returncode:
        text = _last(errors).replace(f"{folder}/", "")
        raise ToolError(
            f"{what} failed",
            where=command[0],
            expected="rendered manifests",
            found=reason or text or f"exit status {process.returncode}",
            hint="check the chart's values and its Kubernetes version range",
        )
    return output.read_bytes()


def _wait(process: subprocess.Popen[bytes], output: Path, errors: Path) -> str:
    """Wait for the end; return why it must not go on, or an empty text."""
    deadline = time.monotonic() + _SECONDS
    while process.poll() is None:
        if time.monotonic() > deadline:
            return f"no end after {_SECONDS:.0f} s"
        if max(output.stat().st_size, errors.stat().st_size) > _OUTPUT_LIMIT:
            break
        time.sleep(_POLL_SECONDS)
    too_much = max(output.stat().st_size, errors.stat().st_size) > _OUTPUT_LIMIT
    return f"more than {_OUTPUT_LIMIT} bytes of output" if too_much else ""


def _last(errors: Path) -> str:
    """Return the end of the program's own words."""
    with errors.open("rb") as file:
        file.seek(max(0, errors.stat().st_size - _ERROR_LIMIT))
        return file.read(_ERROR_LIMIT).decode("utf-8", "replace").strip()


def _environment(folder: Path) -> dict[str, str]:
    """Return the whole environment of helm: nothing of ours, no plugins, no cluster, no network."""
    home = str(folder / "home")
    return {
        "HOME": home,
        "PATH": os.defpath,
        "TMPDIR": str(folder),
        "XDG_CACHE_HOME": home,
        "XDG_CONFIG_HOME": home,
        "XDG_DATA_HOME": home,
        "HELM_PLUGINS": str(folder / "plugins"),
        "KUBECONFIG": os.devnull,
        "HTTP_PROXY": _NOWHERE,
        "HTTPS_PROXY": _NOWHERE,
        "NO_PROXY": "",
    }
