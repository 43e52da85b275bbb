"""Images that may be chosen, and `read_image`: which one a launch gets.

Guarantees: total; an image is either the catalogue's, one of the person's own saved ones, or a reference that the
profile allows; what is hidden or restricted is never told to those who may not know it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from mlabhub.core.names import SAVED_PREFIX, is_saved_name
from mlabhub.core.quote import quote, quote_all
from mlabhub.core.reasons import sentences
from mlabhub.core.references import AllowedImages, describe_allowed, fault_of_reference, parse_reference
from mlabhub.core.schema import KeyFault, Model, Paragraph, ShortText, Slug, Text, key_faults
from mlabhub.errors import InvalidLaunch, NotPermitted
from mlabhub.messages import N_, Message

Tool = Literal["lab", "terminal", "vscode", "desktop", "tensorboard", "ssh"]
ImageKind = Literal["catalog", "saved", "typed"]
SPELLING = r"^[a-z0-9\[][a-zA-Z0-9._:/@\[\]-]*$"
"""What a schema can say of a reference; `fault_of_reference` says the rest."""


def _reference(text: str) -> str:
    fault = fault_of_reference(text)
    if fault is not None:
        raise key_faults([KeyFault((), fault)])
    return text


Reference = Annotated[
    str, Field(strict=True, max_length=400, json_schema_extra={"pattern": SPELLING}), AfterValidator(_reference)
]


class Retired(Model):
    """Why an image can no longer be chosen anew. A server that was started from it can be started again."""

    successor: Slug | None = Field(default=None, description="The image that takes its place.")
    hint: Paragraph = Field(default="", description="One sentence that is shown to who asks for it.")


class ImageSpec(Model):
    """An image as ``images.yaml`` describes it."""

    display_name: Text = Field(description="What people see.")
    reference: Reference = Field(description="What the engine knows it by: registry, repository and tag.")
    description: Paragraph = Field(default="", description="One sentence about what is in it.")
    framework: ShortText | None = Field(default=None, description="What it is built around, such as PyTorch; shown.")
    release: ShortText | None = Field(default=None, description="The framework's release, such as 2.9; shown.")
    tools: tuple[Tool, ...] = Field(
        default=(), description="What can be opened in it, as far as the profile allows; shown."
    )
    groups: tuple[Text, ...] | None = Field(
        default=None, min_length=1, description="Groups of the hub whose members may use it; absent: everybody."
    )
    hidden: bool = Field(
        default=False, strict=True, description="Whether pages leave it out; who knows its slug can name it."
    )
    retired: Retired | None = Field(default=None, description="Present (`{}` is enough): it cannot be chosen any more.")

    def open_to(self, groups: Collection[str]) -> bool:
        """Whether a member of ``groups`` may use it."""
        return self.groups is None or not frozenset(groups).isdisjoint(self.groups)

    @property
    def shown(self) -> bool:
        """Whether pages offer it."""
        return not self.hidden and self.retired is None


class ImageChoice(ImageSpec):
    """An image that may be chosen."""

    slug: Slug


@dataclass(frozen=True)
class ChosenImage:
    """The image of a launch: what it is called, and what the engine is asked for (empty for one's own saved ones)."""

    name: str
    reference: str
    kind: ImageKind


@dataclass(frozen=True)
class ImageRules:
    """What one profile lets one person take."""

    images: Sequence[ImageChoice]
    groups: Collection[str]
    own_images: bool = False
    typed_images: Sequence[AllowedImages] = ()
    kept: Collection[str] = ()

    @property
    def shown(self) -> tuple[ImageChoice, ...]:
        """The images that a page offers."""
        return tuple(image for image in self.images if image.shown and image.open_to(self.groups))


def read_image(value: object, rules: ImageRules, default: str | None = None) -> ChosenImage:
    """Return the image that ``value`` names; without one, ``default`` or the first that is shown.

    ``rules.kept`` are images that the server had before, which may be taken again though they are retired.

    Raises
    ------
    InvalidLaunch
        There is no such image, it is retired, or it is no reference that the profile allows.
    NotPermitted
        It is another group's.
    """
    by_slug = {image.slug: image for image in rules.images}
    if value is None:
        value = default if default in by_slug else next((image.slug for image in rules.shown), None)
    image = by_slug.get(value) if isinstance(value, str) else None
    if image is not None and (image.open_to(rules.groups) or not image.hidden):
        return _from_catalog(image, by_slug, rules)
    if isinstance(value, str) and value.startswith(SAVED_PREFIX) and rules.own_images:
        return _from_saved(value)
    if isinstance(value, str) and rules.typed_images and not _is_slug_like(value):
        return _from_typed(value, rules)
    raise InvalidLaunch(_no_such_image(value, rules), key="image")


def _from_catalog(image: ImageChoice, by_slug: Mapping[str, ImageChoice], rules: ImageRules) -> ChosenImage:
    if not image.open_to(rules.groups):
        raise NotPermitted(
            Message.of(
                N_("The image {value} is for other groups; yours: {valid}."),
                value=quote(image.slug),
                valid=quote_all(one.slug for one in rules.shown),
            ),
            key="image",
        )
    if image.retired is not None and image.slug not in rules.kept:
        raise InvalidLaunch(_retired(image, image.retired, by_slug, rules), key="image")
    return ChosenImage(image.slug, image.reference, "catalog")


def _from_saved(value: str) -> ChosenImage:
    name = value.removeprefix(SAVED_PREFIX)
    if not is_saved_name(name):
        raise InvalidLaunch(
            Message.of(
                N_("{value} is not the name of a saved image; one looks like {example}."),
                value=quote(value),
                example=f"{SAVED_PREFIX}my-image",
            ),
            key="image",
        )
    return ChosenImage(value, "", "saved")


def _from_typed(value: str, rules: ImageRules) -> ChosenImage:
    allowed = describe_allowed(rules.typed_images)
    reference = parse_reference(value)
    if reference is None:
        raise InvalidLaunch(
            Message.of(
                N_(
                    "{value} is not an image's full name: registry, repository and tag or digest, in lower case. "
                    "This profile allows: {allowed}."
                ),
                value=quote(value),
                allowed=allowed,
            ),
            key="image",
        )
    if not any(one.allows(reference) for one in rules.typed_images):
        raise InvalidLaunch(
            Message.of(
                N_("The image {value} may not be typed in here. This profile allows: {allowed}."),
                value=quote(str(reference)),
                allowed=allowed,
            ),
            key="image",
        )
    return ChosenImage(str(reference), reference.exact, "typed")


def _retired(image: ImageChoice, retired: Retired, by_slug: Mapping[str, ImageChoice], rules: ImageRules) -> Message:
    successor = by_slug.get(retired.successor or "")
    parts = [Message.of(N_("The image {value} is retired."), value=quote(image.slug))]
    if successor is not None and successor.open_to(rules.groups):
        parts.append(Message.of(N_("Take {successor} in its place."), successor=quote(successor.slug)))
    else:
        parts.append(Message.of(N_("Choose one of: {valid}."), valid=quote_all(one.slug for one in rules.shown)))
    if retired.hint:
        parts.append(Message.of("{hint}", hint=retired.hint))
    return sentences(parts)


def _no_such_image(value: object, rules: ImageRules) -> Message:
    shown = quote_all(image.slug for image in rules.shown)
    parts = [Message.of(N_("The image {value} cannot be chosen; there is: {valid}."), value=quote(value), valid=shown)]
    if rules.own_images:
        parts.append(Message.of(N_("Images that you saved are {example}."), example=f"{SAVED_PREFIX}NAME"))
    if rules.typed_images:
        allowed = describe_allowed(rules.typed_images)
        parts.append(Message.of(N_("You may type in: {allowed}."), allowed=allowed))
    return sentences(parts)


def _is_slug_like(value: str) -> bool:
    return not any(character in value for character in "/:@")
