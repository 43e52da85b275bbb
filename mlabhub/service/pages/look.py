"""One look at the launch page: everything that it shows of a person's choices, decided on one state of the world.

Guarantees: whatever the choices are, there is a page; every choice that is offered was asked about at the gate that a
launch passes, in one question to it; what cannot be known is left out.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlencode

from mlabhub.core.idle.rule_words import rule_sentence
from mlabhub.core.names import MAX_DISPLAY_NAME
from mlabhub.core.profiles import Profile
from mlabhub.core.reasons import sentences
from mlabhub.i18n import N_, Translator
from mlabhub.service.pages.again import Again, make_again, mend
from mlabhub.service.pages.choices import kept_arguments, read_options, taken
from mlabhub.service.pages.folders import FolderLine, make_folders
from mlabhub.service.pages.forecast import BUSY, NEVER_FITS, NOW, Forecast, Offer, kind_of, make_forecast
from mlabhub.service.pages.form import Field, make_fields
from mlabhub.service.pages.payer import head_sentences, payer_sentence
from mlabhub.service.pages.pickers import (
    GpuRow,
    ImageField,
    MountsField,
    chosen_image,
    gpu_rows,
    image_field,
    mounts_field,
    reference_text,
)
from mlabhub.service.pages.words import image_note, image_title, network_text, purpose_text, range_text
from mlabhub.service.views import CatalogView, PastLaunch, Person, Preview, ServerView, StorageView
from mlabhub.service.wait_views import QueueEntryView

if TYPE_CHECKING:
    from mlabhub.service.launcher import Launcher

# What another profile's link takes along from the form as it stands.
KEPT_FOR_PROFILE = frozenset({"user", "name", "group", "server", "entry"})
WORDS = {NOW: N_("now"), BUSY: N_("not now"), NEVER_FITS: N_("never")}
WORDED = ("gpus", "gpu_type")
MANY_CARDS = 9
"""From so many profiles on they are shown under headings, and can be searched."""


@dataclass(frozen=True)
class ProfileCard:
    """One profile to choose."""

    slug: str
    name: str
    purpose: str
    description: str
    size: str
    forecast: Forecast | None
    selected: bool
    url: str


@dataclass(frozen=True)
class Section:
    """Profiles under one heading; without a heading where they are few."""

    title: str
    cards: list[ProfileCard]


@dataclass(frozen=True)
class Word:
    """What would happen to one value of a field, in a word."""

    kind: str
    text: str


@dataclass(frozen=True)
class Look:
    """What the page shows."""

    profile: str = ""
    sections: list[Section] = field(default_factory=list)
    fields: dict[str, Field] = field(default_factory=dict)
    payer: Field | None = None
    words: dict[str, Word] = field(default_factory=dict)
    head: list[str] = field(default_factory=list)
    forecast: Forecast | None = None
    image: ImageField | None = None
    image_note: str = ""
    gpus: tuple[GpuRow, ...] = ()
    mounts: MountsField | None = None
    folders: list[FolderLine] = field(default_factory=list)
    network: str = ""
    idle: str = ""
    notice: str = ""
    again: Again | None = None
    restart: ServerView | None = None
    entry: QueueEntryView | None = None
    default_taken: bool = False
    typed_name: str = ""
    longest_name: int = MAX_DISPLAY_NAME
    key: str = field(default_factory=lambda: secrets.token_urlsafe(16))

    @property
    def button(self) -> str:
        """What the form's own button says."""
        return self.forecast.button if self.forecast else ""

    @property
    def count(self) -> int:
        """How many profiles there are."""
        return sum(len(section.cards) for section in self.sections)

    @property
    def many(self) -> bool:
        """Whether they are so many that one has to search."""
        return self.count >= MANY_CARDS


class Url(Protocol):
    """Makes the address of a page of ours."""

    def __call__(self, path: str = "", **query: str | None) -> str: ...


async def look(
    launcher: Launcher,
    person: Person,
    user: str,
    arguments: Mapping[str, str],
    *,
    t: Translator,
    url: Url,
    simulated: bool,
    cards: Sequence[str] | None = None,
    entry: QueueEntryView | None = None,
) -> Look:
    """Return the page for a person's choices; ``cards`` limits the profiles to some, for a refresh.

    ``entry`` is what waits already and is to ask for these choices instead.
    """
    wide, full = cards is None or bool(cards), cards is None
    view, servers, past, storage = await asyncio.gather(
        launcher.catalog_for(replace(person, name=user)),
        launcher.servers(user) if wide else _nothing(),
        launcher.past_launches(user) if wide else _nothing(),
        launcher.storage(person, user) if full else _nothing(),
    )
    profile = choose_profile(view, arguments.get("profile", ""))
    if profile is None:
        return Look()
    arguments_now = {**arguments, "profile": profile.slug}
    maker = _Maker(launcher, person, user, view, profile, arguments_now, t, url, simulated, entry)
    return await maker.look(arguments.get("profile", ""), cards, servers, past, storage)


async def _nothing() -> tuple[()]:
    return ()


def choose_profile(view: CatalogView, slug: str) -> Profile | None:
    """Return the chosen profile, else the one that the form opens on."""
    by_slug = {profile.slug: profile for profile in view.profiles}
    return by_slug.get(slug) or by_slug.get(view.default_profile) or next(iter(view.profiles), None)


def restarted(servers: Sequence[ServerView], name: str) -> ServerView | None:
    """Return the stopped server that is to be started again, if the form is about one."""
    return next((one for one in servers if name and one.server_name == name and one.state == "stopped"), None)


@dataclass(frozen=True)
class _Maker:
    launcher: Launcher
    person: Person
    user: str
    view: CatalogView
    profile: Profile
    arguments: dict[str, str]
    t: Translator
    url: Url
    simulated: bool
    entry: QueueEntryView | None

    async def look(
        self,
        asked_profile: str,
        cards: Sequence[str] | None,
        servers: Sequence[ServerView],
        past: Sequence[PastLaunch],
        storage: Sequence[StorageView],
    ) -> Look:
        """Ask once about everything that is shown, then put the page together."""
        fields = make_fields(self.profile, self.view, self.arguments, self.t)
        payer = fields.pop("group", None)
        own = cards is None and self.profile.own_images
        saved = await self.launcher.saved_images(self.user) if own else ()
        profiles = [one for one in self.view.profiles if cards is None or one.slug in cards]
        wishes = self._wishes(fields, profiles, payer, asked_profile)
        answers = await self._ask(list(wishes.values()), nearest=2)
        by_key = dict(zip(wishes, answers, strict=True))
        restart = restarted(servers, self.arguments.get("server", ""))
        return Look(
            profile=self.profile.slug,
            sections=self._sections(profiles, by_key),
            fields=fields,
            payer=payer,
            words=self._words(by_key),
            head=head_sentences(self.view, payer.value if payer else None, self.t, self._other),
            forecast=self._forecast(by_key),
            image=image_field(self.profile, self.view, self.arguments, self.t, saved),
            image_note=self._image_note(by_key["chosen"]),
            gpus=gpu_rows(self.profile, self.view, self.arguments, self.t),
            mounts=mounts_field(self.profile, self.view, self.arguments, self.t),
            folders=make_folders(storage, self.t),
            network=network_text(self.t, self.profile.egress, self.view.network),
            idle=self._idle(by_key["chosen"]),
            notice=self._notice(by_key.get("asked")),
            again=None if restart or self.entry else await self._again(past, servers),
            restart=restart,
            entry=self.entry,
            default_taken=any(not one.server_name and one.state != "stopped" for one in servers),
            typed_name=self.arguments.get("name", ""),
        )

    @property
    def now(self) -> datetime:
        """The moment that waits are told from."""
        return datetime.now().astimezone()

    @property
    def _other(self) -> str | None:
        return self.user if self.user != self.person.name else None

    async def _ask(self, wishes: Sequence[dict[str, Any]], nearest: int = 0) -> tuple[Preview, ...]:
        server = self.entry.server_name if self.entry else self.arguments.get("server", "")
        return await self.launcher.previews(self.person, self.user, wishes, server, nearest=nearest)

    def _wishes(
        self, fields: Mapping[str, Field], profiles: Sequence[Profile], payer: Field | None, asked: str
    ) -> dict[Hashable, dict[str, Any]]:
        """Return the launch options that the page asks about, by what it wants to know of them."""
        wishes: dict[Hashable, dict[str, Any]] = {"chosen": read_options(self.arguments)}
        if named := wishes["chosen"].get("gpu_ids"):
            wishes["unpinned"] = self._changed({"gpus": len(named)})
        if successor := self.view.successors.get(wishes["chosen"].get("image", "")):
            wishes["newer"] = self._changed({"image": successor})
        if asked and asked != self.profile.slug:
            wishes["asked"] = {"profile": asked}
        for name in WORDED:
            for choice in fields[name].choices if name in fields else ():
                wishes["word", f"{name}-{choice.value}"] = self._changed({name: choice.value})
        group = {"group": payer.value} if payer else {}
        wishes |= {("card", one.slug): {"profile": one.slug, **group} for one in profiles}
        return wishes

    def _changed(self, change: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options of the form as it would be with a change, by way of what a button of it would send."""
        return read_options(taken({**self.arguments, "take": urlencode(change)}))

    def _words(self, answers: Mapping[Hashable, Preview]) -> dict[str, Word]:
        words = {}
        for key, preview in answers.items():
            if isinstance(key, tuple) and key[0] == "word" and (kind := kind_of(preview)) in WORDS:
                words[key[1]] = Word(kind, self.t(WORDS[kind]))
        return words

    def _idle(self, chosen: Preview) -> str:
        """Say what befalls a server of these choices that nobody uses; of choices that are wrong, nothing."""
        request = chosen.request
        if request is None:
            return ""
        policy = self.launcher.idle_policy(request.profile, request.group)
        return self.t.say(rule_sentence(policy, request.gpus))

    def _notice(self, asked: Preview | None) -> str:
        """Say why the page does not show the profile that was asked for."""
        return "" if asked is None else self.t.say(sentences([reason.message for reason in asked.reasons]))

    def _forecast(self, answers: Mapping[Hashable, Preview]) -> Forecast:
        preview, unpinned, newer = (answers.get(key) for key in ("chosen", "unpinned", "newer"))
        assert preview is not None
        payer = None if preview.request is None else payer_sentence(preview.request, self.view)
        if preview.starts_now or preview.request is None:
            unpinned = None
        forecast = make_forecast(
            preview, self.t, simulated=self.simulated, payer=payer, unpinned=unpinned, now=self.now
        )
        if self.entry is not None:
            forecast = replace(forecast, button=self.t(N_("Change the request")), offer=None)
        if preview.key != "image" or newer is None or newer.request is None:
            return forecast
        title = image_title(self.view, newer.request.image)
        template = N_("Start with {what} now") if newer.starts_now else N_("Try with {what}")
        return replace(forecast, offer=Offer(self.t(template, what=title), urlencode({"image": newer.request.image})))

    def _image_note(self, preview: Preview) -> str:
        """Say what is in the chosen image, or how what was typed in is understood."""
        request = preview.request
        if request is not None and request.image_kind == "typed":
            return reference_text(request.image, self.t)
        chosen = self.arguments.get("image") or self.view.default_images.get(self.profile.slug, "")
        image = chosen_image([*self.view.images, *self.view.kept_images.values()], chosen)
        return image_note(self.t, image, self.profile.tools) if image else ""

    async def _again(self, past: Sequence[PastLaunch], servers: Sequence[ServerView]) -> Again | None:
        if not past:
            return None
        mended = await mend(self._ask, dict(past[0].options), self.view.successors)
        return make_again(
            past[0],
            mended,
            servers,
            t=self.t,
            simulated=self.simulated,
            title=lambda image: image_title(self.view, image),
            url=lambda **query: self.url("launch", **{**query, "user": self._other}),
            now=self.now,
        )

    def _sections(self, profiles: Sequence[Profile], answers: Mapping[Hashable, Preview]) -> list[Section]:
        cards = [(one, self._card(one, answers[("card", one.slug)])) for one in profiles]
        if len(self.view.profiles) < MANY_CARDS:
            return [Section("", [card for _, card in cards])]
        titles = [N_("Without a GPU"), N_("Development"), N_("Training"), N_("With GPUs")]
        sorted_cards: dict[str, list[ProfileCard]] = {title: [] for title in titles}
        for one, card in cards:
            purposes = {"development": titles[1], "training": titles[2]}
            title = titles[0] if one.gpus.max == 0 else purposes.get(one.purpose or "", titles[3])
            sorted_cards[title].append(card)
        return [Section(self.t(title), found) for title, found in sorted_cards.items() if found]

    def _card(self, profile: Profile, preview: Preview) -> ProfileCard:
        kept = {name: text for name, text in kept_arguments(self.arguments).items() if name in KEPT_FOR_PROFILE}
        return ProfileCard(
            slug=profile.slug,
            name=profile.display_name,
            purpose=purpose_text(self.t, profile),
            description=profile.description,
            size=range_text(self.t, profile, profile.offered_gpu_types(self.view.gpu_types), self.simulated),
            forecast=make_forecast(preview, self.t, simulated=self.simulated, now=self.now),
            selected=profile is self.profile,
            url=self.url("launch", **{**kept, "profile": profile.slug}),
        )
