"""Note every call to a Kubernetes API that a process makes with `kubernetes_asyncio`, for the bench of a spawn.

With this folder on PYTHONPATH each process appends to a file of its own in ``MLABHUB_BENCH_CALLS``: time, method, path.
"""

from __future__ import annotations

import os
import sys
import time
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

MODULE = "kubernetes_asyncio.client.rest"


class _Counting(Loader):
    def __init__(self, usual: Loader):
        self._usual = usual

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._usual.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self._usual.exec_module(module)
        client: Any = module.RESTClientObject  # type: ignore[attr-defined]
        usual = client.request
        file = Path(os.environ["MLABHUB_BENCH_CALLS"]) / f"{Path(sys.argv[0]).name}-{os.getpid()}"

        async def request(self: Any, method: str, url: str, *arguments: Any, **more: Any) -> Any:
            query = dict(more.get("query_params") or ())
            with file.open("a") as calls:
                watch = " watch" if query.get("watch") else ""
                calls.write(f"{time.time():.3f} {method} {urlsplit(url).path}{watch}\n")
            return await usual(self, method, url, *arguments, **more)

        client.request = request


class _Finder(MetaPathFinder):
    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name != MODULE:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Counting(spec.loader)
        return spec


if "MLABHUB_BENCH_CALLS" in os.environ:
    sys.meta_path.insert(0, _Finder())
