"""The files of helm-values/, which of them go together, and how helm merges them."""

from __future__ import annotations

import copy
import functools
import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

FOLDER = Path(__file__).parents[2] / "helm-values"
STORAGE = ("storage-nfs", "storage-cephfs", "storage-rbd", "storage-hostpath")
LOGIN = ("oidc", "oidc-azuread")
FREE = ("one-node", "gpu", "harbor", "prepull", "ledger-postgresql", "monitoring")

Values = dict[str, Any]


def combinations() -> Iterator[tuple[str, ...]]:
    """Yield sets of overlays that make sense, base first: one storage and one way to log in, each alone, each with each
    other one, and all at once.

    Groups' folders on one storage and people's on another is the exception: RBD after each of the others.
    """
    storages: list[tuple[str, ...]] = [(), *((one,) for one in STORAGE)]
    storages += [(one, "storage-rbd") for one in STORAGE if one != "storage-rbd"]
    logins: list[tuple[str, ...]] = [(), *((one,) for one in LOGIN)]
    some = [*(one for count in range(2) for one in itertools.combinations(FREE, count)), FREE]
    yield from (("base", *pair) for pair in itertools.combinations(FREE, 2))
    for storage, login, chosen in itertools.product(storages, logins, some):
        yield ("base", *chosen, *storage, *login)


@functools.cache
def load(name: str) -> Values:
    """Return one file."""
    return dict(YAML(typ="safe").load((FOLDER / f"{name}.yaml").read_text()))


def merge(names: Iterable[str], first: Values | None = None) -> Values:
    """Return the values as helm merges files: mappings by key, null removes, everything else replaces."""
    merged = copy.deepcopy(first or {})
    for name in names:
        _merge_into(merged, load(name))
    return merged


def _merge_into(target: Values, more: Values) -> None:
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(target.get(key), dict):
            _merge_into(target[key], value)
        elif value is None:
            target.pop(key, None)
        else:
            target[key] = copy.deepcopy(value)
