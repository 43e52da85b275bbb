"""What rounds remember: the past, taken along from scene to scene.

Guarantees: the past as of a scene is made once, however often it is asked for.
"""

from __future__ import annotations

from mlabhub.core.sharing.model import Scene
from mlabhub.core.sharing.past import Past


class Memory:
    """The past as of the last scene that was kept."""

    def __init__(self, past: Past | None = None) -> None:
        self._past = past if past is not None else Past()
        self._ahead: tuple[Scene, Past] | None = None

    def after(self, scene: Scene) -> Past:
        """Return the past as of a scene, which may be kept or not."""
        if self._ahead is None or self._ahead[0] is not scene:
            self._ahead = (scene, self._past.after(scene))
        return self._ahead[1]

    def keep(self, scene: Scene) -> None:
        """Go on from a scene."""
        self._past, self._ahead = self.after(scene), None
