"""What a spec that somebody uploaded may say. Its uploader is not trusted.

The stack's policy decides what is verified, scanned and signed; a spec may ask for more and for
nothing less. It names places in the registries that the stack allows and no files, and it cannot
make a run without end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from petra.errors import PolicyError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from petra.aws.side_settings import ConnectedSettings
    from petra.bundle.image_rules import PolicyRules
    from petra.bundle.spec import Spec

#: How far a serial may be ahead of the clock, in seconds: a huge one would shut out all later
#: bundles of its name.
SERIAL_AHEAD: Final = 24 * 3600
_SCHEMES: Final = ("https://", "oci://", "http://")


def check_uploaded(
    spec: Spec, settings: ConnectedSettings, rules: PolicyRules, now: datetime
) -> None:
    """Refuse a spec that says what an uploader may not. Nothing was asked of any registry yet.

    Args:
        spec: the spec.
        settings: of the stack.
        rules: of the stack's policy.
        now: the time.

    Raises:
        PolicyError: names the field.
    """
    _check_fields(spec)
    _check_counts(spec, settings, now)
    for what, source in _sources(spec):
        _check_source(what, source, settings)
    for image in spec.spec.images:
        rules.rule(image.reference.name, where=f"{image.name} ({image.reference})")


def _check_fields(spec: Spec) -> None:
    output, scan = spec.spec.output, spec.spec.scan
    refused = {
        "spec.platform.path": spec.spec.platform.path is not None,
        "spec.output.dir": "dir" in output.model_fields_set,
        "spec.output.chunks": output.chunks is not None,
        "spec.output.sign": not output.sign,
        "spec.output.verify": not output.verify,
        "spec.scan.vex": bool(scan and scan.vex),
        "spec.scan.reports": bool(scan and scan.reports),
    }
    found = [name for name, is_there in refused.items() if is_there]
    if found:
        raise PolicyError(
            "the spec says what only the stack may",
            where=", ".join(found),
            expected="none of these fields",
            hint="take them out; who runs the stack decides them, in its settings and its policy",
        )


def _check_counts(spec: Spec, settings: ConnectedSettings, now: datetime) -> None:
    limit, serial = int(now.timestamp()) + SERIAL_AHEAD, spec.spec.serial or 0
    counts = (
        ("spec.images", len(spec.spec.images), settings.limits.images),
        ("spec.charts", len(spec.spec.charts), settings.limits.images),
        ("spec.serial", serial, limit),
    )
    for where, found, most in counts:
        if found > most:
            raise PolicyError(
                "the spec asks for too much",
                where=where,
                expected=f"at most {most}",
                found=found,
                hint="leave spec.serial out: it is the time then"
                if where == "spec.serial"
                else "make several bundles of it, or have the stack's limit raised",
            )


def _sources(spec: Spec) -> Iterator[tuple[str, str]]:
    """Give what the spec names, and where that is, as ``HOST/PATH``."""
    for image in spec.spec.images:
        yield f"image {image.name}", image.reference.name
    for chart in spec.spec.charts:
        yield f"chart {chart.name}", chart.repo


def _check_source(what: str, source: str, settings: ConnectedSettings) -> None:
    scheme = next((one for one in _SCHEMES if source.startswith(one)), "")
    place = source.removeprefix(scheme).lower()
    host = place.partition("/")[0]
    is_path = what.startswith("chart") and not scheme
    plain = scheme == "http://" and host not in settings.plain_http
    allowed = any(place == one or place.startswith(f"{one}/") for one in settings.sources)
    if is_path or plain or not allowed or ".." in place or "@" in host:
        raise PolicyError(
            "the spec names a place that the stack does not allow",
            where=what,
            expected=" or ".join(settings.sources) or "nothing: the stack allows no place",
            found=source[:300],
            hint="use what is there, or have the place added to the stack's settings (sources)",
        )
