from tests.engine.podman import api, ground

__all__ = ["api", "ground"]
