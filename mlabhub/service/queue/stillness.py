"""Whether a round would stand on what the last one stood on, so that it can be left out.

Guarantees: pure; never for longer than `LONGEST_S`, for time alone changes what the rules say: who waits long gets room
kept, and past use counts less and less.
"""

from __future__ import annotations

from dataclasses import dataclass

from mlabhub.core.profiles import Catalog
from mlabhub.service.projection import Projection

LONGEST_S = 30.0


@dataclass(frozen=True)
class Stood:
    """What a round stood on: a version of the projection, the catalogue, and what there is to be had (``seen``).

    It was planned at ``at``, by the clock that may step, and at ``monotonic`` by the one that does not.
    """

    version: int
    catalog: Catalog
    seen: tuple[object, ...]
    at: float
    monotonic: float

    def still(
        self, projection: Projection, catalog: Catalog, seen: tuple[object, ...], now: float, monotonic: float
    ) -> bool:
        """Whether all of that is the same, and nothing has become due since."""
        if projection.version != self.version or catalog is not self.catalog or projection.notices:
            return False
        if seen != self.seen or monotonic - self.monotonic >= LONGEST_S or now < self.at:
            return False
        return not any(self.at < one.not_before <= now for one in projection.queue.values())
