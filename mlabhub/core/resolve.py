"""`resolve`: the one gate that every launch's options pass.

Guarantees: `resolve` is total (any JSON value gives a `LaunchRequest` or an `MLabError` with a sentence); what it
returns lies within the profile; nothing of the options reaches a request but slugs that the catalogue has, numbers that
the profile permits, names of one's own saved images and references and paths that were parsed whole and are allowed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from mlabhub.core.choices import read_option
from mlabhub.core.gate import KEYS, check_launch_id, read_choice, read_flag, read_gpu_ids, read_keys, read_number
from mlabhub.core.images import ChosenImage, ImageRules, read_image
from mlabhub.core.log_folders import read_log_folders
from mlabhub.core.mounts import MountChoice, read_mounts
from mlabhub.core.options import NumberOption
from mlabhub.core.profiles import SHM, Catalog, LaunchRequest, Profile, default_payer
from mlabhub.core.quote import quote, quote_all
from mlabhub.core.safe_mode import SAFE_TOOLS, safe_tools
from mlabhub.core.sight import Sight, see
from mlabhub.core.storage import places_for
from mlabhub.core.tools import ADDED, TENSORBOARD, offered_tools
from mlabhub.core.units import ANY_GPU, is_gpu_type
from mlabhub.errors import InvalidLaunch, NotPermitted
from mlabhub.messages import N_, Message


def resolve(
    catalog: Catalog,
    user: str,
    groups: Sequence[str],
    user_options: object,
    server_name: str = "",
    *,
    present: Collection[str] | None = None,
    kept_images: Collection[str] = (),
) -> LaunchRequest:
    """Turn untrusted launch options into a request that lies within the catalogue.

    Absent keys (and null) take the profile's defaults; without a profile, the one is taken that a form opens on.
    ``present`` are the GPU types that there are, for these defaults; None if that is not known. ``kept_images`` are
    those that this server had before: it may have them again though they are retired. ``launch_id`` must look like one
    and is ignored otherwise.

    Raises
    ------
    InvalidLaunch
        Something is unknown, malformed or out of range.
    NotPermitted
        The profile is another group's or cannot be kept closed here, or the group that should pay is not the user's.
    """
    given = read_keys(user_options, KEYS, N_("A launch"))
    if "launch_id" in given:
        check_launch_id(given["launch_id"])
    profile, default_image = _read_profile(catalog, groups, given.get("profile"), present)
    if profile.egress == "closed" and not catalog.egress_enforced:
        raise NotPermitted(_cannot_close(profile), key="profile")
    rules = ImageRules(
        catalog.images_of(profile), groups, profile.own_images, profile.typed_images, frozenset(kept_images)
    )
    image = read_image(given.get("image"), rules, default_image)
    safe = _read_safe(profile, given.get("safe"))
    gpus = int(_read_amount("gpus", given, profile.gpus, safe))
    memory = _read_amount("memory_gib", given, profile.memory_gib, safe)
    further = _read_further(profile, given.get("options"))
    return LaunchRequest(
        user=user,
        server_name=server_name,
        profile=profile.slug,
        image=image.name,
        image_reference=image.reference,
        image_kind=image.kind,
        group=_read_payer(catalog, groups, given.get("group")),
        gpu_type=_read_gpu_type(catalog, profile, given.get("gpu_type"), gpus, present),
        gpus=gpus,
        gpu_ids=read_gpu_ids(given.get("gpu_ids"), gpus, profile.choose_gpu),
        cpu=_read_amount("cpu", given, profile.cpu, safe),
        memory_gib=memory,
        shm_gib=_shared_memory(profile, further, memory),
        pids=profile.pids,
        sudo=profile.sudo,
        options=further,
        environment=_environment(profile, further),
        mounts=_read_mounts(catalog, profile, user, groups, given.get("mounts")),
        kind=profile.kind,
        tools=safe_tools(_tools(catalog, profile, image)) if safe else _tools(catalog, profile, image),
        allowed_tools=SAFE_TOOLS if safe else profile.tools,
        log_folders=_read_log_folders(catalog, profile, user, groups, given.get("log_folders")),
        unused_seconds=profile.unused_seconds,
        egress=profile.egress,
        reclaimable=profile.reclaimable,
        notice_seconds=profile.notice_seconds,
        safe=safe,
    )


def _read_safe(profile: Profile, value: object) -> bool:
    safe = read_flag("safe", value)
    if safe and profile.kind == TENSORBOARD:
        raise InvalidLaunch(N_("A TensorBoard alone reads no start-up files, so it has no safe mode."), key="safe")
    return safe


def _read_amount(key: str, given: Mapping[str, object], option: NumberOption, safe: bool) -> float:
    """Return an amount; in safe mode, what is not asked for is the least, not the default."""
    value = given.get(key)
    return read_number(key, option.min if safe and value is None else value, option)


def _cannot_close(profile: Profile) -> Message:
    return Message.of(
        N_(
            "The profile {profile} is closed to every network, which only Kubernetes can keep: here its servers would "
            "reach whatever this machine does. Take another profile."
        ),
        profile=quote(profile.slug),
    )


def _read_profile(
    catalog: Catalog, groups: Sequence[str], value: object, present: Collection[str] | None
) -> tuple[Profile, str | None]:
    """Return the profile and the image that it opens on for these groups."""
    sight = see(catalog, groups, present)
    default = sight.default
    if default is None and (value is None or not sight.usable):
        raise NotPermitted(N_("No profile is open to you or your groups. Ask an administrator to add you to a group."))
    profile = _named_profile(catalog, sight, value) if default is None or value is not None else default.profile
    return profile, sight.images[profile.slug]


def _named_profile(catalog: Catalog, sight: Sight, value: object) -> Profile:
    known = sight.usable.get(value) if isinstance(value, str) else None
    if known is not None:
        return known
    slugs = tuple(sight.usable)
    if isinstance(value, str) and value in catalog.profiles_by_slug:
        raise NotPermitted(
            Message.of(
                N_("The profile {value} is for other groups; yours: {valid}."),
                value=quote(value),
                valid=quote_all(slugs),
            ),
            key="profile",
        )
    return sight.usable[read_choice("profile", value, slugs)]


def _read_mounts(
    catalog: Catalog, profile: Profile, user: str, groups: Sequence[str], value: object
) -> tuple[MountChoice, ...]:
    if value is None:
        return ()
    places = places_for(catalog.storage, user, groups)
    return read_mounts(value, places, catalog.storage.mount_prefixes, permitted=profile.mounts)


def _read_log_folders(
    catalog: Catalog, profile: Profile, user: str, groups: Sequence[str], value: object
) -> tuple[str, ...]:
    if value is None:
        return ()
    targets = [place.target for place in places_for(catalog.storage, user, groups)]
    return read_log_folders(value, targets, permitted=profile.kind == TENSORBOARD)


def _tools(catalog: Catalog, profile: Profile, image: ChosenImage) -> tuple[str, ...]:
    """Return what can be opened; of a saved image, what one of the profile's images has: it grew from one."""
    if profile.kind == TENSORBOARD:
        return (TENSORBOARD,)
    if image.kind == "typed":
        return offered_tools(profile.tools, ADDED)
    if image.kind == "catalog":
        return offered_tools(profile.tools, catalog.images_by_slug[image.name].tools)
    has = [one.tools for one in catalog.images_of(profile)]
    return offered_tools(profile.tools, {tool for tools in has for tool in tools} if all(has) else ())


def _read_payer(catalog: Catalog, groups: Sequence[str], value: object) -> str | None:
    if value is None:
        return default_payer(catalog.quotas, groups)
    if isinstance(value, str) and value in groups:
        return value
    if not isinstance(value, str):
        raise InvalidLaunch(
            Message.of(N_("group must be the name of the group that pays, not {value}."), value=quote(value)),
            key="group",
        )
    if not groups:
        raise NotPermitted(
            Message.of(N_("The group {value} cannot pay: you are in no group. Leave group out."), value=quote(value)),
            key="group",
        )
    raise NotPermitted(
        Message.of(
            N_("The group {value} cannot pay: you are not in it. Your groups: {valid}."),
            value=quote(value),
            valid=quote_all(groups),
        ),
        key="group",
    )


def _read_gpu_type(
    catalog: Catalog, profile: Profile, value: object, gpus: int, present: Collection[str] | None
) -> str | None:
    if value is not None and profile.any_gpu_type:
        if not is_gpu_type(value):
            raise InvalidLaunch(
                Message.of(N_("gpu_type cannot be {value}; a GPU type looks like a100."), value=quote(value)),
                key="gpu_type",
            )
    elif value is not None:
        value = read_choice("gpu_type", value, profile.gpu_types)
    if gpus == 0:
        return None
    if value is None or value == ANY_GPU:
        return profile.default_gpu_type(catalog.gpu_types, present)
    return str(value)


def _read_further(profile: Profile, value: object) -> dict[str, float | str]:
    options = profile.further
    given = (
        {} if value is None else read_keys(value, options, N_("The options of the profile {slug}"), slug=profile.slug)
    )
    return {slug: read_option(slug, option, given[slug]) for slug, option in options.items() if slug in given}


def _environment(profile: Profile, given: Mapping[str, float | str]) -> dict[str, str]:
    """Return what the profile's options set, those that were not given by their defaults."""
    environment: dict[str, str] = {}
    for slug, option in profile.options.items():
        environment.update(option.environment_of(read_option(slug, option, given.get(slug))))
    return environment


def _shared_memory(profile: Profile, further: Mapping[str, float | str], memory: float) -> float:
    if profile.shm_gib is None:
        return memory / 2
    if SHM not in further:
        return min(profile.shm_gib.default, memory)
    amount = float(further[SHM])
    if amount > memory:
        raise InvalidLaunch(
            Message.of(
                N_(
                    "shm_gib cannot be {value}: it is part of the memory, which is {memory} GiB. "
                    "Take less of it, or more memory."
                ),
                value=amount,
                memory=memory,
            ),
            key=SHM,
        )
    return amount
