"""Build, list and check the images that people's servers run.

Guarantees: an image is built again only when its folder, or that of an image below it, has changed; an interrupted
build goes on from its last finished layer; nothing of this machine's mirrors, proxy or certificates stays in an image.
"""

from mlabhub.images.build import Built, build_images, list_images
from mlabhub.images.check import Finding, check_image
from mlabhub.images.recipes import Recipe, build_order, load_recipes

__all__ = [
    "Built",
    "Finding",
    "Recipe",
    "build_images",
    "build_order",
    "check_image",
    "list_images",
    "load_recipes",
]
