"""Views of the present state: servers, launches, nodes and what people hold. Pure functions of what they are given."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from mlabhub.client import HubServer, HubUser
from mlabhub.core.admission import Capacity, Gpu, Holdings, Node
from mlabhub.core.folder_use import FolderUse
from mlabhub.core.gpu_types import display_name_of
from mlabhub.core.payers import freest_payer
from mlabhub.core.placement import free_count
from mlabhub.core.privacy import Viewer
from mlabhub.core.profiles import Catalog
from mlabhub.core.quotas import GroupQuota, Quotas
from mlabhub.core.sight import offered_profiles, see
from mlabhub.core.storage import Place, places_for
from mlabhub.core.tools import WORKBENCH, Kind
from mlabhub.core.units import CPU, GPU, MEMORY, format_gpus
from mlabhub.inventory import SavedLayer
from mlabhub.ledger import Reservation
from mlabhub.messages import N_, Message
from mlabhub.service.disk import Room
from mlabhub.service.projection import Projection
from mlabhub.service.views import (
    CatalogView,
    GpuView,
    LaunchState,
    LaunchStatus,
    NodeView,
    Person,
    PlaceView,
    ServerState,
    ServerView,
    Step,
    StorageView,
    UsageView,
)


def server_url(base_url: str, user: str, server: str) -> str:
    """Return the path of a user's server below the hub's address."""
    own = f"{base_url}user/{quote(user, safe='')}/"
    return f"{own}{quote(server, safe='')}/" if server else own


def tool_url(url: str, tool: str) -> str:
    """Return where a tool of a server opens."""
    return f"{url}mlabhub/open/{tool}"


def _open_url(url: str, kind: Kind, tools: Sequence[str]) -> str:
    """Return where a server opens. Of one that was found nobody knows its tools, and a TensorBoard alone has no bar."""
    return tool_url(url, tools[0]) if tools and kind == WORKBENCH else url


def server_views(
    hub_user: HubUser,
    reservations: Iterable[Reservation],
    saved: Iterable[SavedLayer],
    base_url: str,
    latest: Iterable[Reservation] = (),
) -> tuple[ServerView, ...]:
    """Return all servers of a user: those the hub knows, those that hold something, those with a saved environment.

    ``latest`` are their last launches, also those that are over.
    """
    at_hub = {server.name: server for server in hub_user.servers}
    held = {one.server: one for one in reservations}
    layers = {layer.server_name: layer for layer in saved}
    past = {one.server: one for one in latest}
    names = sorted({*at_hub, *held, *layers}, key=lambda name: (name != "", name))
    return tuple(
        _server_view(hub_user.name, name, at_hub.get(name), held.get(name), layers.get(name), base_url, past.get(name))
        for name in names
    )


def held_views(reservations: Iterable[Reservation], base_url: str) -> tuple[ServerView, ...]:
    """Return every server that holds something, by user and name."""
    ordered = sorted(reservations, key=lambda one: (one.user, one.server))
    return tuple(_server_view(one.user, one.server, None, one, None, base_url) for one in ordered)


def _server_view(
    user: str,
    name: str,
    hub: HubServer | None,
    held: Reservation | None,
    layer: SavedLayer | None,
    base_url: str,
    last: Reservation | None = None,
) -> ServerView:
    url = (hub.url if hub else "") or server_url(base_url, user, name)
    common: dict[str, Any] = {
        "user": user,
        "server_name": name,
        "display_name": (held.display_name if held else "") or (hub.display_name if hub else ""),
        "state": _server_state(hub, held),
        "url": url,
        "newer_image": bool(layer and layer.newer_image),
        "has_saved": layer is not None,
    }
    if held is None:
        kind, ended = (last.kind, _why_ended(last)) if last else (WORKBENCH, None)
        return ServerView(**common, image=layer.image if layer else "", kind=kind, ended=ended)
    tools = _tools(held)
    return ServerView(
        **common,
        profile=held.profile,
        image=held.image,
        group=held.group,
        gpu_type=held.gpu_type,
        gpus=len(held.gpus),
        cpu=held.cpu or None,
        memory_gib=held.memory_gib or None,
        since=held.held or held.created,
        launch_id=held.launch_id,
        notes=(*held.notes, *([held.failure] if held.state == "unknown" and held.failure else [])),
        kind=held.kind,
        tools=tools,
        open_url=_open_url(url, held.kind, tools),
    )


def _tools(one: Reservation) -> tuple[str, ...]:
    return tuple((one.plan or {}).get("tools", ()))


def _why_ended(one: Reservation) -> Message | None:
    """Return why a server that had run ended by itself, however soon: the hub may not have shown it as ready yet."""
    return one.failure if one.state == "released" and one.held is not None else None


def _server_state(hub: HubServer | None, held: Reservation | None) -> ServerState:
    if held is None:
        return "unknown" if hub is not None and hub.ready else "pending" if hub and hub.active else "stopped"
    if held.state == "held":
        return "running" if held.ready is not None or (hub is not None and hub.ready) else "pending"
    return "unknown" if held.state == "unknown" else "stopping" if held.state == "stopping" else "pending"


def is_prepared(one: Reservation) -> bool:
    """Return whether the hub is at work on a launch, and its spawner says how far it is."""
    return _launch_state(one) == "starting" and one.redeemed is not None and one.held is None


def launch_status(one: Reservation, base_url: str, told: Message | None = None) -> LaunchStatus:
    """Return how far a launch came; ``told`` is what its spawner said last, where `is_prepared`."""
    url, state = server_url(base_url, one.user, one.server), _launch_state(one)
    why = _why_ended(one) if state == "ended" else None
    return LaunchStatus(
        launch_id=one.launch_id,
        user=one.user,
        server_name=one.server,
        display_name=one.display_name,
        state=state,
        steps=_steps(one, told),
        url=url,
        failure=_failure(one),
        notes=(*one.notes, *([why] if why else [])),
        kind=one.kind,
        open_url=_open_url(url, one.kind, _tools(one)),
    )


def _launch_state(one: Reservation) -> LaunchState:
    if one.state == "released":
        return "failed" if one.ready is None else "ended"
    if one.state == "stopping":
        return "ended" if one.ready is not None else "failed"
    if one.state == "unknown":
        return "failed"
    return "starting" if one.ready is None else "ready"


def _steps(one: Reservation, told: Message | None) -> tuple[Step, ...]:
    on_node = Message.of(N_("Admitted on {node}"), node=one.node or "?")
    if one.gpus:
        gpus = format_gpus(len(one.gpus), one.gpu_type)
        on_node = Message.of(N_("Admitted: {gpus} on {node}"), gpus=gpus, node=one.node or "?")
    happened = [
        (one.created, on_node),
        (one.redeemed, told or Message(N_("The hub prepares the server: folders, network, image"))),
        (one.held, Message(N_("The server runs; waiting for it to answer"))),
        (one.ready, Message(N_("It answers"))),
    ]
    known = [(at, message) for at, message in happened if at is not None]
    over = _launch_state(one) in ("ready", "ended")  # one that failed did so in its last step
    return tuple(Step(at, message, done=over or n < len(known) - 1) for n, (at, message) in enumerate(known))


def _failure(one: Reservation) -> Message | None:
    if _launch_state(one) != "failed":
        return None
    if one.failure is not None:
        return one.failure
    if one.state == "unknown":
        return Message(
            N_("Hub and machine do not agree about this server. It is left alone; an administrator can see it.")
        )
    return Message(
        N_("The server ended before it was ready. Start it again; if it happens again, tell an administrator.")
    )


def node_views(capacity: Capacity, projection: Projection, catalog: Catalog, viewer: Viewer) -> tuple[NodeView, ...]:
    """Return every node with its GPUs; holders' names only as far as the viewer may know them, processes to admins."""
    return tuple(_node_view(node, projection, catalog, viewer) for node in capacity.nodes)


def _node_view(node: Node, projection: Projection, catalog: Catalog, viewer: Viewer) -> NodeView:
    used = projection.holdings.node(node.name).as_amounts()
    others = _taken(node, projection.holdings)
    return NodeView(
        name=node.name,
        schedulable=node.schedulable,
        cpu=node.cpu,
        cpu_free=max(0.0, (node.cpu - node.cpu_taken) * catalog.quotas.cpu_overcommit - used.get(CPU, 0.0)),
        memory_gib=node.memory_gib,
        memory_gib_free=max(0.0, node.memory_gib - node.memory_gib_taken - used.get(MEMORY, 0.0)),
        gpus=tuple(_gpu_view(gpu, projection, catalog, viewer, taken=gpu.uuid in others) for gpu in node.gpus),
        gpu_fault=node.gpu_fault,
        cpu_overcommit=catalog.quotas.cpu_overcommit,
        notes=node.notes,
        counted=node.counted,
        gpus_taken=node.gpus_taken,
        takers=node.takers if viewer.admin else (),
    )


def _taken(node: Node, holdings: Holdings) -> frozenset[str]:
    """Return as many of a node's slots that nobody holds as are not to be had, the last ones."""
    taken: set[str] = set()
    for gpu_type, gpus in node.usable.items() if node.counted else ():
        unheld = [gpu.uuid for gpu in gpus if holdings.is_free(gpu.uuid)]
        taken.update(unheld[free_count(node, gpu_type, len(unheld), holdings.node(node.name)) :])
    return frozenset(taken)


def _gpu_view(gpu: Gpu, projection: Projection, catalog: Catalog, viewer: Viewer, *, taken: bool) -> GpuView:
    holding = projection.holdings.holder_of(gpu.uuid)
    holder = projection.launch(holding.launch_id) if holding else None
    shown = holder if holder is not None and viewer.may_see(holder) else None
    return GpuView(
        uuid=gpu.uuid,
        type=gpu.type,
        name=gpu.name,
        memory_gib=gpu.memory_gib,
        simulated=gpu.simulated,
        healthy=gpu.healthy,
        held=holder is not None,
        user=shown.user if shown else None,
        server_name=shown.server if shown else None,
        since=shown.created if shown else None,
        display_name=shown.display_name if shown else None,
        profile=shown.profile if shown else None,
        type_name=display_name_of(gpu.type, catalog.gpu_types),
        index=gpu.index,
        utilisation=gpu.utilisation if shown or not holder else None,
        used_gib=gpu.used_gib if shown or not holder else None,
        usable=gpu.usable,
        taken=taken,
        health=gpu.health,
        busy=gpu.busy,
        processes=gpu.processes if viewer.admin else (),
        divided=gpu.divided,
        mig=gpu.mig,
        parent=gpu.parent,
    )


def usage_of_group(name: str, quotas: Quotas, holdings: Holdings) -> UsageView:
    """Return what a group holds, may hold and may count on."""
    quota = quotas.groups.get(name, GroupQuota())
    used = holdings.group(name).as_amounts()
    return UsageView(
        name,
        used,
        quota.limit,
        quota.guaranteed,
        borrowed={one: amount for one, amount in borrowed(quota, used, quotas).items() if amount},
        each=quota.each.limit if quota.each else {},
    )


def borrowed(quota: GroupQuota, used: Mapping[str, float], quotas: Quotas) -> dict[str, float]:
    """Return what a group holds beyond its guarantee, of what is guaranteed to it; of GPUs in all, to anybody."""
    lent = any(one.startswith(GPU) for group in quotas.groups.values() for one in group.guaranteed)
    resources = [one for one in used if one in quota.guaranteed or (one == GPU and lent)]
    return {one: max(0.0, used[one] - quota.guaranteed.get(one, 0.0)) for one in resources}


def usage_of_user(name: str, quotas: Quotas, holdings: Holdings, group: str | None = None) -> UsageView:
    """Return what a user holds and may hold when ``group`` pays."""
    soft = tuple(sorted(quotas.user_soft(name, group)))
    return UsageView(name, holdings.user(name).as_amounts(), quotas.user_limit(name, group), {}, soft)


def storage_views(
    places: Iterable[Place], rooms: Mapping[str, Room | None], counted: Callable[[str], FolderUse | None]
) -> tuple[StorageView, ...]:
    """Return each of a person's folders, its room and its use; ``counted`` says what a count found."""

    def view(place: Place, room: Room | None) -> StorageView:
        return StorageView(
            place.share,
            place.target,
            place.display_name,
            place.read_only,
            place.tier,
            total_bytes=room.total_bytes if room else None,
            free_bytes=room.free_bytes if room else None,
            full=room.full if room else None,
            use=(room.use if room else None) or counted(place.source),
        )

    return tuple(view(place, rooms.get(place.source)) for place in places)


def catalog_view(
    person: Person, groups: Sequence[str], catalog: Catalog, capacity: Capacity, projection: Projection, viewer: Viewer
) -> CatalogView:
    """Return what the launch page shows to this person."""
    quotas, holdings = catalog.quotas, projection.holdings
    present = capacity.gpu_types
    sight = see(catalog, groups, present)
    visible, default = sight.present, sight.default if sight.present else None
    slugs = {slug for profile in visible for slug in profile.images}
    places = tuple(
        PlaceView(place.share, place.target, place.display_name, place.read_only, place.tier)
        for place in places_for(catalog.storage, person.name, groups)
    )
    return CatalogView(
        profiles=offered_profiles(catalog, groups, capacity),
        images=tuple(
            image for image in catalog.images if image.slug in slugs and image.shown and image.open_to(groups)
        ),
        groups=tuple(groups),
        default_group=freest_payer(quotas, groups, holdings),
        user_usage=usage_of_user(person.name, quotas, holdings),
        group_usage=tuple(usage_of_group(group, quotas, holdings) for group in groups),
        user_usage_by_group={
            group: usage_of_user(person.name, quotas, holdings, group)
            for group in groups
            if group in quotas.groups and quotas.groups[group].each is not None
        },
        see_nodes=lambda: node_views(capacity, projection, catalog, viewer),
        gpu_types=present,
        most_gpus={one: max(node.whole.get(one, 0) for node in capacity.nodes) for one in present},
        successors=_successors(catalog, groups),
        default_profile=default.profile.slug if default else "",
        default_images=sight.images,
        default_gpu_types={one.slug: one.default_gpu_type(catalog.gpu_types, present) for one in visible},
        gpu_type_names={gpu_type: display_name_of(gpu_type, catalog.gpu_types) for gpu_type in present},
        places=places,
        mount_prefixes=catalog.storage.mount_prefixes,
        tensorboard=sight.tensorboard.slug if sight.tensorboard else "",
        network=catalog.kubernetes.network if catalog.egress_enforced else None,
    )


def _successors(catalog: Catalog, groups: Sequence[str]) -> dict[str, str]:
    """Return what takes the place of retired images, for those who may have it."""
    open_to = {image.slug for image in catalog.images if image.open_to(groups) and image.retired is None}
    pairs = ((image.slug, image.retired.successor) for image in catalog.images if image.retired is not None)
    return {slug: successor for slug, successor in pairs if successor in open_to}
