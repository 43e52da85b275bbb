"""For which accelerator an image is built: the CPU, or NVIDIA's GPUs by the libraries of one CUDA release.

Guarantees: looking changes nothing and takes seconds at most; an image for the CPU is built only where its packages
can be had.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import httpx

from mlabhub.images.recipes import Recipe

Accelerator = Literal["cpu", "cuda"]
SIGNS = (Path("/proc/driver/nvidia/version"), Path("/dev/nvidiactl"), Path("/usr/lib/wsl/lib/libcuda.so.1"))
ANSWER_SECONDS = 8.0


def has_nvidia(signs: Iterable[Path] = SIGNS) -> bool:
    """Whether this machine has NVIDIA's driver. Its library is not asked: that may hang."""
    return any(sign.exists() for sign in signs)


def choose_accelerator(recipe: Recipe, wanted: Accelerator | None) -> Accelerator | None:
    """Return what an image is built for; None if it is the same for all. ``wanted`` None: what the machine has."""
    if not recipe.cuda:
        return None
    chosen = wanted or ("cuda" if has_nvidia() else "cpu")
    if wanted is None and chosen == "cpu" and recipe.cpu_index and not answers(recipe.cpu_index):
        return "cuda"
    return chosen


def answers(url: str) -> bool:
    """Whether an address on the web answers."""
    try:
        return httpx.head(f"{url}/", timeout=ANSWER_SECONDS, follow_redirects=True).status_code < 500
    except httpx.HTTPError:
        return False
