"""A large catalogue: one launch at its gate, and one person's launch page, decided, forecast and rendered.

    python -m tests.bench.bench_catalogue [--profiles 500] [--images 50] [--profile FILE]

The page is asked for over HTTP from the pages' own application, with every profile visible and most of the GPUs held,
so that hundreds of forecasts are refusals in words; hub, ledger and engine are left out. Prints one line of JSON:
medians, ``page_ms`` beside ``small_page_ms``, the same page of a catalogue with two profiles (login, HTTP, the rest).
``page_cpu_ms`` is the processor time of server and client together, which other programs disturb least.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import httpx

from mlabhub.core.admission import Holding
from mlabhub.core.capacity import Capacity
from mlabhub.core.privacy import Viewer
from mlabhub.core.profiles import Catalog
from mlabhub.core.resolve import resolve
from mlabhub.ledger import Contents
from mlabhub.service.listing import catalog_view
from mlabhub.service.previews import Scene, make_preview
from mlabhub.service.projection import Projection
from mlabhub.service.views import CatalogView, Person, Preview
from tests.doubles import make_node
from tests.pages.launcher import MemoryLauncher
from tests.pages.site import Site

TARGET_PAGE_MS, TARGET_RESOLVE_MS = 50.0, 1.0
GROUPS = tuple(f"group{number}" for number in range(5))
TYPES = ("a100", "h100", "t4", "v100")


def make_catalog(profiles: int, images: int) -> Catalog:
    """Return a catalogue as a large site may have one, all of which alice may use."""
    return Catalog.model_validate(
        {
            "images": [
                {
                    "slug": f"image-{number}",
                    "display_name": f"Image {number}",
                    "reference": f"localhost/mlabhub/image-{number}:latest",
                    "groups": None if number % 2 else [GROUPS[number % len(GROUPS)]],
                }
                for number in range(images)
            ],
            "profiles": [_profile(number, images) for number in range(profiles)],
            "gpu_types": {gpu_type: {"cost": cost} for cost, gpu_type in enumerate(TYPES, 1)},
            "quotas": {
                "groups": {group: {"limit": {"gpu": 60}} for group in GROUPS},
                "users": {"default": {"gpu": 16, "servers": 20}},
            },
        }
    )


def _profile(number: int, images: int) -> dict[str, Any]:
    profile: dict[str, Any] = {
        "slug": f"profile-{number}",
        "display_name": f"Profile {number}",
        "description": "What it is for, in one sentence.",
        "groups": None if number % 3 else [GROUPS[number % len(GROUPS)], "others"],
        "images": [f"image-{(number + offset) % images}" for offset in range(min(images, 10))],
        "cpu": {"min": 1, "max": 64, "default": 1 + number % 16},
        "memory_gib": {"min": 1, "max": 512, "default": 16},
        "shm_gib": {"min": 1, "max": 64, "default": 8},
        "options": {"workers": {"display_name": "Workers", "variable": "NUM_WORKERS", "min": 0, "max": 16}},
    }
    if number % 4:
        types = [TYPES[(number + offset) % len(TYPES)] for offset in range(1 + number % 3)]
        purpose = ("development", "training", None)[number % 3]
        profile |= {"gpus": [1, 2, 4, 8], "gpu_types": types, "purpose": purpose}
    return profile


def make_capacity() -> Capacity:
    """Return 24 machines of 8 GPUs."""
    return Capacity(tuple(make_node(f"n{number:02}", 8, TYPES[number % len(TYPES)]) for number in range(24)))


class Bench(MemoryLauncher):
    """A launcher over one catalogue: the real view and the real forecasts."""

    def __init__(self, catalog: Catalog):
        super().__init__({"alice": GROUPS})
        self.catalog = catalog
        self.capacity = make_capacity()
        self.projection = Projection(Contents((), {}, (), ()))
        for number, gpu in enumerate(self.capacity.gpus.values()):
            if number % 8:
                self.projection.holdings.add(_holding(number, gpu.uuid, gpu.type, gpu.node))

    async def catalog_for(self, actor: Person) -> CatalogView:
        """Return the real view."""
        about = self.catalog, self.capacity, self.projection, self._viewer
        return catalog_view(actor, GROUPS, *about)

    async def previews(
        self, actor: Person, user: str, choices: Sequence[dict[str, Any]], server_name: str = "", *, nearest: int = 0
    ) -> tuple[Preview, ...]:
        """Return the real forecasts."""
        scene = Scene(
            self.catalog, user, GROUPS, self._viewer, self.projection.holdings, (), self.capacity, time.time()
        )
        return tuple(
            make_preview(scene, options, server_name, nearest=number < nearest)
            for number, options in enumerate(choices)
        )

    @property
    def _viewer(self) -> Viewer:
        return Viewer("alice", frozenset(GROUPS), privacy="group")


def _holding(number: int, uuid: str, gpu_type: str, node: str) -> Holding:
    return Holding(
        user=f"user{number % 40}",
        server=f"s{number}",
        launch_id=f"01HELD{number:020}",
        group=GROUPS[number % len(GROUPS)],
        cpu=2.0,
        memory_gib=8.0,
        gpu_type=gpu_type,
        gpus=(uuid,),
        node=node,
    )


def measure_resolve(catalog: Catalog) -> float:
    """Return the median of a launch at the gate, over all profiles, in milliseconds."""
    times = []
    for profile in catalog.profiles:
        started = time.perf_counter()
        resolve(catalog, "alice", GROUPS, {"profile": profile.slug, "cpu": 8}, present=TYPES)
        times.append(time.perf_counter() - started)
    return 1000 * statistics.median(times)


async def measure_page(
    catalog: Catalog, runs: int, profile: cProfile.Profile | None = None
) -> tuple[float, float, int]:
    """Return the medians of the launch page in milliseconds, elapsed and of the processor; how many profiles it has."""
    with tempfile.TemporaryDirectory() as folder:
        site = Site(Bench(catalog), Path(folder))  # type: ignore[arg-type]
        headers = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Sec-Fetch-Site": "same-origin"}
        try:
            async with httpx.AsyncClient(base_url=site.url, headers=headers, trust_env=False, timeout=60) as client:
                await client.get(f"{site.origin}/login-as/alice")
                text = (await client.get("launch")).raise_for_status().text
                with profile or nullcontext():
                    times = [await _timed(client) for _ in range(runs)]
        finally:
            await site.close()
    elapsed, processor = (1000 * statistics.median(column) for column in zip(*times, strict=True))
    return elapsed, processor, sum(f'"{one.slug}"' in text for one in catalog.profiles)


async def _timed(client: httpx.AsyncClient) -> tuple[float, float]:
    started, used = time.perf_counter(), time.process_time()
    (await client.get("launch")).raise_for_status()
    return time.perf_counter() - started, time.process_time() - used


def run(
    profiles: int = 500, images: int = 50, runs: int = 15, profile: cProfile.Profile | None = None
) -> dict[str, Any]:
    """Return the figures."""
    catalog = make_catalog(profiles, images)
    page_ms, page_cpu_ms, shown = asyncio.run(measure_page(catalog, runs, profile))
    small_ms, small_cpu_ms, _ = asyncio.run(measure_page(make_catalog(2, 2), runs))
    return {
        "profiles": profiles,
        "shown": shown,
        "resolve_ms": round(measure_resolve(catalog), 3),
        "page_ms": round(page_ms, 1),
        "page_cpu_ms": round(page_cpu_ms, 1),
        "small_page_ms": round(small_ms, 1),
        "small_page_cpu_ms": round(small_cpu_ms, 1),
    }


def main() -> None:
    """Run as a program."""
    parser = argparse.ArgumentParser(description="bench of a large catalogue")
    parser.add_argument("--profiles", type=int, default=500)
    parser.add_argument("--images", type=int, default=50)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--profile", default="", help="write cProfile's figures of the page into this file")
    chosen = parser.parse_args()
    profile = cProfile.Profile() if chosen.profile else None
    print(json.dumps(run(chosen.profiles, chosen.images, chosen.runs, profile)))
    if profile is not None:
        profile.dump_stats(chosen.profile)


if __name__ == "__main__":
    main()
