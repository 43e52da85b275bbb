"""What profiles, images and defaults say of one another, checked in both directions.

Guarantees: pure and total: works on what a file says, valid or not, so that a fault elsewhere hides none of these; what
is malformed is left for the models to name.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from mlabhub.core.quote import plain, quote, quote_all
from mlabhub.core.tools import TENSORBOARD, TOOLS
from mlabhub.messages import N_, Message

Part = Literal["profiles", "images", "group_defaults"]
Loose = Mapping[str, Any]
OTHERS = "default"
"""The key of ``group_defaults`` for people none of whose groups has an entry."""


@dataclass(frozen=True)
class CrossFault:
    """A fault below one of the three parts."""

    part: Part
    path: tuple[str | int, ...]
    message: Message


def cross_faults(profiles: Loose, images: Loose, group_defaults: Loose) -> Iterator[CrossFault]:
    """Find every reference that leads nowhere; each part maps slugs (or groups) to mappings of keys."""
    for slug, profile in _mappings(profiles):
        yield from _of_profile(slug, profile, images)
    for slug, image in _mappings(images):
        yield from _of_image(slug, image, images)
    for group, default in _mappings(group_defaults):
        yield from _of_default(group, default, profiles, images)


def cluster_faults(named: Loose, profiles: Loose) -> Iterator[tuple[str, Message]]:
    """Find profiles that kubernetes.yaml says something of and that are not there: their slugs there."""
    for slug in named:
        if slug not in profiles:
            yield slug, _no_profile(slug, profiles)


def idle_faults(rules: object, profiles: Loose) -> Iterator[tuple[tuple[str | int, ...], Message]]:
    """Find profiles that rules of idle.yaml name and that are not there: where they stand below ``rules``."""
    for number, rule in enumerate(rules if isinstance(rules, list | tuple) else ()):
        for index, slug in _texts(_get(rule, "profiles")):
            if slug not in profiles:
                yield (number, "profiles", index), _no_profile(slug, profiles)


def _of_profile(slug: str, profile: Loose, images: Loose) -> Iterator[CrossFault]:
    listed = _texts(profile.get("images"))
    for index, image in listed:
        if image not in images:
            yield CrossFault("profiles", (slug, "images", index), _no_image(image, images))
    known = [images[image] for _, image in listed if image in images]
    yield from _of_tools(slug, profile, [(index, image, images[image]) for index, image in listed if image in images])
    if known and len(known) == len(listed) and not any(map(_is_shown, known)):
        message = Message(N_("are all hidden or retired, so the form has nothing to select; add one that is shown"))
        yield CrossFault("profiles", (slug, "images"), message)


def _of_tools(slug: str, profile: Loose, listed: Iterable[tuple[int, str, object]]) -> Iterator[CrossFault]:
    """Find images in which nothing could be opened."""
    alone = profile.get("kind") == TENSORBOARD
    wanted = [TENSORBOARD] if alone else [tool for _, tool in _texts(profile.get("tools")) if tool in TOOLS]
    for index, image, entry in listed:
        has = [tool for _, tool in _texts(_get(entry, "tools"))]
        if alone and TENSORBOARD not in has:
            message = Message.of(
                N_("{image} does not have tensorboard among its tools in images.yaml, which this kind needs"),
                image=plain(image),
            )
            yield CrossFault("profiles", (slug, "images", index), message)
        elif wanted and has and not set(wanted) & set(has):
            message = Message.of(
                N_("leaves nothing that could be opened in the image {image}, which has: {known}"),
                image=plain(image),
                known=quote_all(has),
            )
            yield CrossFault("profiles", (slug, "tools"), message)


def _of_image(slug: str, image: Loose, images: Loose) -> Iterator[CrossFault]:
    successor = _get(_get(image, "retired"), "successor")
    if not isinstance(successor, str):
        return
    at = (slug, "retired", "successor")
    if successor not in images:
        yield CrossFault("images", at, _no_image(successor, images))
    elif _get(images[successor], "retired") is not None:
        message = Message.of(N_("{image} is retired itself; name the one that takes its place"), image=plain(successor))
        yield CrossFault("images", at, message)


def _of_default(group: str, default: Loose, profiles: Loose, images: Loose) -> Iterator[CrossFault]:
    profile, image = default.get("profile"), default.get("image")
    if not isinstance(profile, str):
        return
    if profile not in profiles:
        yield CrossFault("group_defaults", (group, "profile"), _no_profile(profile, profiles))
        return
    if not _is_open(profiles[profile], group):
        yield CrossFault("group_defaults", (group, "profile"), _closed(profile, group))
    if _get(profiles[profile], "kind") == TENSORBOARD:
        message = Message.of(
            N_("{profile} is started from the home page, not here; name another one"), profile=plain(profile)
        )
        yield CrossFault("group_defaults", (group, "profile"), message)
    if not isinstance(image, str):
        return
    offered = [slug for _, slug in _texts(_get(profiles[profile], "images"))]
    at = (group, "image")
    if image not in images or image not in offered:
        message = Message.of(
            N_("the profile {profile} has no image {image}; it has: {known}"),
            profile=plain(profile),
            image=quote(image),
            known=quote_all(offered),
        )
        yield CrossFault("group_defaults", at, message)
    elif _get(images[image], "retired") is not None:
        yield CrossFault(
            "group_defaults", at, Message.of(N_("{image} is retired; name another one"), image=plain(image))
        )
    elif not _is_open(images[image], group):
        yield CrossFault("group_defaults", at, _closed(image, group))


def _no_image(image: str, images: Loose) -> Message:
    return _of_known(Message.of(N_("there is no image {image}"), image=quote(image)), image, images)


def _no_profile(profile: str, profiles: Loose) -> Message:
    return _of_known(Message.of(N_("there is no profile {profile}"), profile=quote(profile)), profile, profiles)


def _of_known(fault: Message, wrong: str, known: Collection[str]) -> Message:
    """Say what there is, and what was probably meant."""
    close = difflib.get_close_matches(wrong, known, 1)
    if close:
        template = N_("{fault}; did you mean {close}? There are: {known}")
        return Message.of(template, fault=fault, close=plain(close[0]), known=quote_all(known))
    return Message.of(N_("{fault}; there are: {known}"), fault=fault, known=quote_all(known))


def _closed(what: str, group: str) -> Message:
    if group == OTHERS:
        return Message.of(N_("{what} is not for everybody; name one without groups"), what=plain(what))
    return Message.of(N_("{what} is not for the group {group}; name one that is"), what=plain(what), group=quote(group))


def _is_open(entry: object, group: str) -> bool:
    groups = _get(entry, "groups")
    return not (isinstance(groups, list | tuple) and groups) or (group in groups and group != OTHERS)


def _is_shown(image: object) -> bool:
    return _get(image, "hidden") is not True and _get(image, "retired") is None


def _mappings(part: Loose) -> Iterator[tuple[str, Loose]]:
    return ((name, entry) for name, entry in part.items() if isinstance(entry, Mapping))


def _texts(listed: object) -> list[tuple[int, str]]:
    items = listed if isinstance(listed, list | tuple) else ()
    return [(index, item) for index, item in enumerate(items) if isinstance(item, str)]


def _get(entry: object, key: str) -> Any:
    return entry.get(key) if isinstance(entry, Mapping) else getattr(entry, key, None)
