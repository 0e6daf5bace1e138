"""In which order files cross a diode: whatever is lost in one round has another chance in the next.

What announces a set comes last in every round, as :mod:`petra.transfer.shipment` has it. From the
second round on the order is by chance: a link that loses every n-th file loses others then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from random import Random

    from petra.transfer.shipment import Shipment, ShippedFile


def rounds(what: Shipment, repeat: int, chance: Random) -> Iterator[Sequence[ShippedFile]]:
    """Yield the files of each round, in order.

    Args:
        what: the bundle's files.
        repeat: how many rounds there are.
        chance: says the order from the second round on.
    """
    content, *announcing = what.groups
    for number in range(repeat):
        first = [*content]
        if number:
            chance.shuffle(first)
        yield [*first, *(one for group in announcing for one in group)]
