"""The picture of shared layers: each image a bar of its layers, a shared one in one colour."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from petra.bundle.lock import LockedImage
    from petra.content.digest import Digest

#: The width that the largest image's bar has, in the picture's own units.
WIDTH: Final = 1000.0
#: No layer is too small to be seen.
_LEAST: Final = 2.0
#: Hues for shared layers, far from each other in turn: the golden angle, in degrees, from a blue.
_TURN: Final = 137.508
_FIRST: Final = 205


@dataclass(frozen=True, slots=True)
class Segment:
    """A layer in an image's bar.

    Attributes:
        digest: the layer's.
        size: bytes.
        x: where it begins, in the picture's units.
        width: how wide it is.
        images: how many images of the bundle have it.
        hue: its colour, degrees; None for a layer of one image alone.
    """

    digest: Digest
    size: int
    x: float
    width: float
    images: int
    hue: int | None


@dataclass(frozen=True, slots=True)
class Bar:
    """An image as a bar."""

    name: str
    size: int
    segments: tuple[Segment, ...]


@dataclass(frozen=True, slots=True)
class Picture:
    """The whole picture.

    Attributes:
        bars: an image each, in the bundle's order.
        together: bytes of all images' layers, each counted as often as it is used.
        once: bytes with each layer counted once: what the bundle carries.
        shared: how many layers more than one image has.
    """

    bars: tuple[Bar, ...]
    together: int
    once: int
    shared: int


def picture(images: Sequence[LockedImage]) -> Picture:
    """Return the picture of the images of a lock."""
    uses = Counter(layer.digest for image in images for layer in {*image.layers})
    sizes = {layer.digest: layer.size for image in images for layer in image.layers}
    shared = [digest for digest in sizes if uses[digest] > 1]
    hues = {digest: int(_FIRST + number * _TURN) % 360 for number, digest in enumerate(shared)}
    largest = max((sum(layer.size for layer in image.layers) for image in images), default=0)
    scale = WIDTH / largest if largest else 0.0
    bars = tuple(_bar(image, scale, uses, hues) for image in images)
    together = sum(bar.size for bar in bars)
    return Picture(bars, together, sum(sizes.values()), len(shared))


def _bar(image: LockedImage, scale: float, uses: Counter[Digest], hues: dict[Digest, int]) -> Bar:
    segments, x = [], 0.0
    for layer in image.layers:
        width = max(layer.size * scale, _LEAST)
        hue = hues.get(layer.digest)
        segments.append(Segment(layer.digest, layer.size, x, width, uses[layer.digest], hue))
        x += width
    return Bar(image.name, sum(layer.size for layer in image.layers), tuple(segments))
