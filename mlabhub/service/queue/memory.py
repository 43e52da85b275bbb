"""What rounds remember: the past, taken along from scene to scene.

Guarantees: the past as of a scene is made once, however often it is asked for.
"""

from __future__ import annotations

from mlabhub.core.sharing.model import Scene
from mlabhub.core.sharing.past import Past
from mlabhub.ledger import Ledger

REMEMBER_RUNS = 4.0
"""How many half-lives back past runs are read."""


class Memory:
    """The past as of the last scene that was kept."""

    def __init__(self, past: Past | None = None) -> None:
        self._past = past if past is not None else Past()
        self._ahead: tuple[Scene, Past] | None = None

    @classmethod
    def read(cls, ledger: Ledger, now: float, half_life_days: float) -> Memory:
        """Return what the ledger remembers. Blocks: of months of a large site it takes seconds."""
        half_life = 86400.0 * half_life_days
        return cls(Past.of(ledger.past_runs(now - REMEMBER_RUNS * half_life), half_life))

    def after(self, scene: Scene) -> Past:
        """Return the past as of a scene, which may be kept or not."""
        if self._ahead is None or self._ahead[0] is not scene:
            self._ahead = (scene, self._past.after(scene))
        return self._ahead[1]

    def keep(self, scene: Scene) -> None:
        """Go on from a scene."""
        self._past, self._ahead = self.after(scene), None
