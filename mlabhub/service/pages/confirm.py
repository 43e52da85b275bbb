"""Acts that matter ask first, on a page of their own: stop a server, reset its environment, delete a saved image.

A page of another user's server may share our origin, so that it can send any form that we could send. What it cannot do
is read this page, which alone shows the token that the act needs:

- its scripts cannot fetch it: only a navigation is answered (browsers say so in a header that scripts cannot set);
- it cannot frame it: no page may;
- it cannot hold on to a window that shows it: the page is reached in two steps whose ``Cross-Origin-Opener-Policy``
  differ, so that the browser cuts every tie on the way, whatever policy the other page chose for itself. The second
  step's address has a token that is good once, so that the first cannot be left out.

What remains open on a shared origin is a service worker that another user's server registers for all of it. With
``subdomain_host`` there is no shared origin at all.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from mlabhub.core.confirm_token import ConfirmTokens
from mlabhub.core.quote import quote
from mlabhub.core.tools import TENSORBOARD
from mlabhub.errors import NotFound
from mlabhub.i18n import N_
from mlabhub.messages import Message
from mlabhub.service.own_images import ImageDesk
from mlabhub.service.pages.base import PageHandler
from mlabhub.service.pages.waits import WaitText
from mlabhub.service.pages.words import server_title


@dataclass(frozen=True)
class Question:
    """What a page asks before an act; of one that would wait, ``wait`` says how long."""

    title: str
    consequences: tuple[str, ...]
    button: str
    done: str
    wait: WaitText | None = None


QUESTIONS = {
    "stop": Question(
        N_("Stop {server}?"),
        (
            N_("Everything that runs in it ends now: notebooks, terminals, training runs. Save your work first."),
            N_("Your files under /mnt stay. What you installed with pip or apt stays too."),
            N_("Its GPUs, processors and memory are free for others at once."),
        ),
        N_("Stop the server"),
        N_("{server} was stopped."),
    ),
    "reset": Question(
        N_("Reset the environment of {server}?"),
        (
            N_("What you installed with pip or apt, and every file outside /mnt, is deleted. This cannot be undone."),
            N_("Your files under /mnt stay."),
            N_("The next start begins from the newest version of the image."),
        ),
        N_("Delete what I installed"),
        N_("The environment of {server} was reset. The next start begins from the newest image."),
    ),
    "delete-image": Question(
        N_("Delete the image {image}?"),
        (
            N_("No server can be started from it any more. This cannot be undone."),
            N_("Servers that run go on, and your files under /mnt stay."),
        ),
        N_("Delete the image"),
        N_("The image was deleted."),
    ),
}
BOARD_STOP = replace(
    QUESTIONS["stop"],
    consequences=(
        N_("It closes for everybody who looks at it. Nothing is lost: it only reads, and its list of folders is kept."),
        N_("Its processors and memory are free for others at once."),
    ),
)
STALE = N_(
    "This question was answered already, or stood open for more than ten minutes. Look at it again, then decide."
)


class Guarded(PageHandler):
    """A page that nothing else on our origin can read, so that a token in its form proves that it was seen."""

    @property
    def tokens(self) -> ConfirmTokens:
        """The tokens of this application, made when first needed."""
        tokens: ConfirmTokens = self.application.settings.setdefault("confirm_tokens", ConfirmTokens())
        return tokens

    def arrived(self, about: tuple[str, ...], url: Callable[[str], str]) -> bool:
        """Return whether this is the second of the two steps; else lead there, to ``url`` with the token of it."""
        self.require_navigation()
        now = time.time()
        if self.tokens.redeem(self.get_query_argument("step", ""), "step", *about, now=now):
            return True
        self.set_header("Cross-Origin-Opener-Policy", "same-origin")
        self.redirect(url(self.tokens.make("step", *about, now=now)))
        return False


class Asking(Guarded):
    """Asks, and then acts on one thing of a user's; ``field`` is what the thing is called in addresses and forms."""

    field = ""
    template = "confirm.html"

    async def about(self, act: str, name: str) -> dict[str, Any]:
        """Return what a template of its own wants."""
        return {}

    async def look(self, act: str, user: str, name: str) -> tuple[str, Question]:
        """Return what the thing is called, and what to ask about it. Raises `NotFound`."""
        raise NotImplementedError

    async def act(self, act: str, user: str, name: str) -> str:
        """Do it; return the address to go to then."""
        raise NotImplementedError

    def back(self, user: str) -> str:
        """Return where one goes who changes their mind."""
        return self.page_url(user=self.other(user))

    async def get(self, act: str) -> None:
        """Ask, in the second of two steps."""
        self.require_navigation()
        user, name = self.subject(), self.get_query_argument(self.field, "")
        shown, question = await self.look(act, user, name)
        now = time.time()
        if not self.arrived(self._about(act, user, name), lambda step: self._question_url(act, user, name, step=step)):
            return
        self.render_page(
            self.template,
            act=act,
            title=self.t(question.title, **{self.field: shown}),
            question=question,
            field=self.field,
            name=name,
            user=user,
            other=self.other(user),
            problem=self.t(STALE) if self.get_query_argument("stale", "") else "",
            confirm=self.tokens.make(*self._about(act, user, name), now=now),
            back=self.back(user),
            **await self.about(act, name),
        )

    async def post(self, act: str) -> None:
        """Act, if the question was seen; else ask again. The question itself is never the answer to a post."""
        self.require_navigation()
        user, name = self.subject(), self.get_body_argument(self.field, "")
        await self.look(act, user, name)
        about = self._about(act, user, name)
        if not self.tokens.redeem(self.get_body_argument("confirm", ""), *about, now=time.time()):
            self.redirect(self._question_url(act, user, name, stale="1"), status=303)
            return
        self.redirect(await self.act(act, user, name), status=303)

    def _question_url(self, act: str, user: str, name: str, *, step: str = "", stale: str = "") -> str:
        stale = stale or self.get_query_argument("stale", "")
        return self.page_url(act, **{"user": self.other(user), self.field: name, "step": step, "stale": stale})

    def _about(self, act: str, user: str, name: str) -> tuple[str, str, str, str]:
        return (self.person.name, act, user, name)


class ServerHandler(Asking):
    """Stops or resets a server."""

    field = "server"

    async def look(self, act: str, user: str, name: str) -> tuple[str, Question]:
        """Return what the server is called on pages, and what to ask; of a TensorBoard alone nothing is lost."""
        for server in await self.launcher.servers(user):
            if server.server_name == name:
                alone = act == "stop" and server.kind == TENSORBOARD
                return server_title(self.t, server), BOARD_STOP if alone else QUESTIONS[act]
        raise NotFound(Message.of(N_("{user} has no server by this name. It may have been deleted."), user=user))

    async def act(self, act: str, user: str, name: str) -> str:
        """Stop or reset it."""
        if act == "stop":
            await self.launcher.stop(self.person, user, name)
        else:
            await self.launcher.reset(self.person, user, name)
        return self.page_url(user=self.other(user), done=act, server=name)


class ImageHandler(Asking):
    """Deletes a saved image."""

    field = "image"

    @property
    def desk(self) -> ImageDesk:
        """Where images are deleted."""
        return ImageDesk(self.application.settings["world"])

    async def look(self, act: str, user: str, name: str) -> tuple[str, Question]:
        """Return the image's name, if there is such an image, and what to ask."""
        if any(one.name == name for one in await self.desk.own(user)):
            return name, QUESTIONS[act]
        raise NotFound(
            Message.of(N_("There is no saved image {image}. It may have been deleted already."), image=quote(name))
        )

    async def act(self, act: str, user: str, name: str) -> str:
        """Delete it."""
        await self.desk.remove(self.person.name, user, name)
        return self.page_url("save", user=self.other(user), done=act)
