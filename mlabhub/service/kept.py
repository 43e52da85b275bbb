"""What a server may keep though it can no longer be chosen: the retired image that it was last started from.

Guarantees: only ever for the very server that had it; while the ledger is silent nothing is kept, and the refusal names
the image that takes its place.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from mlabhub.core.images import ImageChoice
from mlabhub.core.profiles import Catalog
from mlabhub.errors import Unavailable
from mlabhub.ledger import Ledger

log = logging.getLogger(__name__)


async def kept_images(ledger: Ledger, catalog: Catalog, user: str) -> Mapping[str, str]:
    """Return the retired images of a user's servers, by the hub's name of the server."""
    retired = {image.slug for image in catalog.images if image.retired is not None}
    if not retired:
        return {}
    try:
        launches = await asyncio.to_thread(ledger.latest, user)
    except Unavailable as error:
        log.warning("Which retired images %s's servers have is not known: %s", user, error.log_text)
        return {}
    return {one.server: one.image for one in launches if one.image in retired}


async def kept_choices(ledger: Ledger, catalog: Catalog, user: str) -> Mapping[str, ImageChoice]:
    """Return the same as the catalogue describes them."""
    kept = await kept_images(ledger, catalog, user)
    return {server: catalog.images_by_slug[slug] for server, slug in kept.items()}


async def kept_image(ledger: Ledger, catalog: Catalog, user: str, server_name: str) -> tuple[str, ...]:
    """Return the retired image that this server may be started from again, if there is one."""
    kept = (await kept_images(ledger, catalog, user)).get(server_name)
    return () if kept is None else (kept,)
