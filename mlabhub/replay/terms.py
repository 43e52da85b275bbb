"""What profiles say of the servers that a replay starts with them."""

from __future__ import annotations

from mlabhub.core.profiles import Catalog
from mlabhub.replay.model import Terms


def terms_of(catalog: Catalog) -> dict[str, Terms]:
    """Return what the profiles say of what is taken back."""
    return {
        one.slug: Terms(
            notice_s=one.notice_seconds,
            reclaimable=one.reclaimable,
            ends_when_reclaimed=one.after_reclaim == "end",
            longest_s=None if one.longest_hours is None else one.longest_hours * 3600.0,
        )
        for one in catalog.profiles
    }
