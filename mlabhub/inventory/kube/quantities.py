"""Amounts as Kubernetes writes them: ``250m``, ``24581692Ki``, ``1e3``.

Guarantees: exact up to a millionth; what is there is rounded down, what is asked for is rounded up.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction
from functools import lru_cache

from mlabhub.core.units import to_micro

GIB = 2**30
_QUANTITY = re.compile(r"([+-]?[0-9]*\.?[0-9]+|[+-]?[0-9]+\.)(?:[eE]([+-]?[0-9]{1,2}))?([numkKMGTPE]|[KMGTPE]i)?")
_DECIMAL = {"n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_MICRO = to_micro(1)


@lru_cache(4096)
def parse_quantity(text: str) -> Fraction:
    """Return an amount. Raises `ValueError`."""
    match = _QUANTITY.fullmatch(text)
    if match is None or (match[2] and match[3]):
        raise ValueError(f"not a quantity: {text[:40]!r}")
    number = Fraction(match[1].removesuffix(".")) * Fraction(10) ** int(match[2] or 0)
    suffix = match[3] or ""
    unit = Fraction(2) ** _BINARY[suffix] if suffix in _BINARY else Fraction(10) ** _DECIMAL.get(suffix, 0)
    return Fraction(number * unit)


def floor_micro(amount: Fraction) -> int:
    """Return what there is, in millionths."""
    return math.floor(amount * _MICRO)


def ceil_micro(amount: Fraction) -> int:
    """Return what is asked for, in millionths."""
    return math.ceil(amount * _MICRO)
