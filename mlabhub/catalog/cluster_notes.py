"""What is valid in ``kubernetes.yaml`` and probably not meant, with regard to the other files.

Guarantees: pure; a site that says nothing of its cluster is told nothing about one.
"""

from __future__ import annotations

from collections.abc import Iterator

from mlabhub.catalog.faults import KeyPath
from mlabhub.core.kubernetes import KubernetesSpec
from mlabhub.core.paths import overlap
from mlabhub.core.profiles import Catalog
from mlabhub.core.quote import plain, quote_all
from mlabhub.core.storage import Storage
from mlabhub.messages import N_, Message

Found = Iterator[tuple[KeyPath, Message]]


def notes_on_cluster(catalog: Catalog) -> Found:
    """Return keys of ``kubernetes.yaml`` with what an administrator may want to look at."""
    if catalog.kubernetes == KubernetesSpec():
        return
    yield from _on_volumes(catalog)
    yield from _on_group_claims(catalog)
    sudo = [profile.slug for profile in catalog.profiles if profile.sudo]
    if sudo and "sudo" not in catalog.kubernetes.allow:
        template = N_("does not have sudo, so servers of these profiles are refused on a cluster: {profiles}")
        yield ("allow",), Message.of(template, profiles=quote_all(sudo))
    elif "sudo" in catalog.kubernetes.allow and not sudo:
        yield ("allow",), Message(N_("has sudo, and no profile in profiles.yaml does"))


def _on_volumes(catalog: Catalog) -> Found:
    spec, storage = catalog.kubernetes, catalog.storage
    named = dict(_folders_of(storage))
    for key, folder in named.items():
        if spec.volume_of(folder) is None:
            template = N_("no volume is behind {folder} ({key} of storage.yaml), so it cannot be mounted on a cluster")
            yield ("volumes",), Message.of(template, folder=folder, key=key)
    for number, volume in enumerate(spec.volumes):
        at = ("volumes", number)
        if not any(overlap(volume.folder, folder) for folder in named.values()):
            yield (*at, "folder"), Message(N_("no root and no source of storage.yaml is in it"))
        if volume.claim_per_folder is not None:
            yield from _on_sources_without_claim(storage, at, volume.folder)


def _on_sources_without_claim(storage: Storage, at: KeyPath, folder: str) -> Found:
    for slug, share in storage.shares.items():
        if overlap(share.source, folder):
            template = N_("makes claims for people and groups; the share {share} needs one that is there")
            yield (*at, "claim_per_folder"), Message.of(template, share=plain(slug))


def _on_group_claims(catalog: Catalog) -> Found:
    """Find claims that a group's members cannot use from two nodes at once."""
    spec, storage = catalog.kubernetes, catalog.storage
    template = N_(
        "only servers on one and the same node can use a group's claim at the same time; ReadWriteMany is usual"
    )
    if spec.group_claim is not None and spec.group_claim.access_mode != "ReadWriteMany":
        yield ("group_claim", "access_mode"), Message(template)
    roots = [root for root in storage.share_roots if root]
    for number, volume in enumerate(spec.volumes):
        claim = volume.claim_per_folder
        if claim and claim.access_mode != "ReadWriteMany" and any(overlap(volume.folder, root) for root in roots):
            yield ("volumes", number, "claim_per_folder"), Message(template)


def _folders_of(storage: Storage) -> Iterator[tuple[str, str]]:
    """Yield the folders that the file names, by their keys."""
    if storage.user_root:
        yield "user_root", storage.user_root
    if storage.share_root:
        yield "share_root", storage.share_root
    for group, own in storage.groups.items():
        if own.user_root:
            yield f"groups.{plain(group)}.user_root", own.user_root
        if own.share_root:
            yield f"groups.{plain(group)}.share_root", own.share_root
    for slug, share in storage.shares.items():
        yield f"shares.{slug}.source", share.source
