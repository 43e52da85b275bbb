"""The list of log folders: a page for people, and the same for programs.

Guarantees: everything asks for a login, and a change for the token against forged requests; the page works without
scripts; no answer waits longer for a storage than a few seconds; nothing here reads what is in an event file.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from mlabhub_proxies.base import ApiHandler, PageHandler, Refused
from mlabhub_proxies.frames import with_key
from mlabhub_proxies.patience import NoAnswer, within
from mlabhub_proxies.person import note
from mlabhub_proxies.surroundings import Route, Surroundings
from mlabhub_proxies.tensorboard.board import KEY, Board, Seen
from mlabhub_proxies.tensorboard.folders import MAX_PATH, FolderRefused
from mlabhub_proxies.tensorboard.look import ABSENT, PATIENCE_S, complete
from mlabhub_proxies.tensorboard.tool import PAGE, TOOL, is_alone
from mlabhub_proxies.words import N_, Translator

STATUS = {"unknown": 404, "no_answer": 503, "too_many": 409}


class ListPage(PageHandler):
    """The page: what is shown, and what could be."""

    def initialize(self, board: Board) -> None:
        """Know the list."""
        self.board = board

    async def get(self) -> None:
        """Show it; ``?add=/mnt/...`` writes a path into the form, where one press more adds it."""
        self.board.use.note()
        note(self.settings, TOOL.slug)
        await self._show(typed=self.get_query_argument("add", "")[:MAX_PATH])

    async def post(self) -> None:
        """Add or remove a folder, and show the list again; a refusal with what was typed."""
        self.board.use.note()
        note(self.settings, TOOL.slug)
        typed = self.get_body_argument("path", "", strip=False)
        try:
            if self.get_body_argument("action", "add") == "remove":
                await self.board.remove(typed)
            else:
                await self.board.add(typed)
        except FolderRefused as refused:
            await self._show(typed=typed, refusal=self.t.say(refused.sentence), status=STATUS.get(refused.code, 422))
            return
        self.redirect(with_key(self.surroundings.url(PAGE), self), status=303)

    async def _show(self, *, typed: str = "", refusal: str = "", status: int = 200) -> None:
        try:
            folders = await self.board.folders()
            seen, problem = await self.board.look(), folders.problem
        except FolderRefused as refused:
            seen, problem = [], refused.sentence
        self.render_page(
            "log-folders.html",
            status=status,
            folders=[folder_json(one, self.t) for one in seen],
            offers=await offers(self.board),
            places=list(self.board.places),
            tensorboard=with_key(self.surroundings.url(TOOL.address), self),
            # In a workbench the bar leads there; a TensorBoard alone has none.
            home=self.surroundings.hub_home if is_alone(self.surroundings.environ) else None,
            problem=self.t.say(problem) if problem else "",
            typed=typed,
            refusal=refusal,
        )


class ListHandler(ApiHandler):
    """The list for programs."""

    def initialize(self, board: Board) -> None:
        """Know the list."""
        self.board = board

    async def get(self) -> None:
        """Return the folders, each with what is in it; ``?beginning=/mnt/`` returns how a path goes on instead."""
        beginning = self.get_query_argument("beginning", None)
        try:
            self.finish(await self._list() if beginning is None else await self._completions(beginning))
        except FolderRefused as refused:
            raise self._refusal(refused) from None

    async def post(self) -> None:
        """Add the folder ``path``."""
        await self._change(self.board.add, 201)

    async def delete(self) -> None:
        """Take the folder ``path`` off the list; nothing in it is touched."""
        await self._change(self.board.remove, 200)

    async def _change(self, change: Any, status: int) -> None:
        self.board.use.note()
        note(self.settings, TOOL.slug)
        path = self.get_query_argument("path", None, strip=False) or self.body_json().get("path")
        try:
            await change(path)
            listed = await self._list()
        except FolderRefused as refused:
            raise self._refusal(refused) from None
        self.set_status(status)
        self.finish(listed)

    async def _list(self) -> dict[str, Any]:
        folders = await self.board.folders()
        seen = await self.board.look()
        return {
            "folders": [folder_json(one, self.t) for one in seen],
            "offers": await offers(self.board),
            "places": list(self.board.places),
            "problem": self.t.say(folders.problem) if folders.problem else None,
        }

    async def _completions(self, beginning: str) -> dict[str, Any]:
        try:
            return {"completions": await within(PATIENCE_S, complete, beginning[:1000], self.board.places)}
        except NoAnswer:
            return {"completions": []}

    def _refusal(self, refused: FolderRefused) -> Refused:
        return Refused(STATUS.get(refused.code, 422), refused.code, self.t.say(refused.sentence))


class UseHandler(ApiHandler):
    """What our script in TensorBoard's own page asks and tells."""

    def initialize(self, board: Board) -> None:
        """Know the list."""
        self.board = board

    def get(self) -> None:
        """Return what to show beside TensorBoard. Asking does not count as use."""
        use = self.board.use
        # The browser gets the token with which it may tell below, even if none of our pages was ever opened.
        self.xsrf_token  # noqa: B018
        minutes = max(1, round((use.left_s or 0) / 60))
        sentence = N_("Nobody has used this TensorBoard for a while. It ends in about {minutes} min unless you use it.")
        self.finish(
            {
                "link": {"address": self.surroundings.url(PAGE), "title": self.t(N_("Log folders"))},
                "version": self.board.version,
                "settles_s": self.board.settles_s,
                "warning": self.t(sentence, minutes=minutes) if use.warns else None,
            }
        )

    def post(self) -> None:
        """Somebody is here."""
        self.board.use.note()
        note(self.settings, TOOL.slug)
        self.set_status(204)


def folder_json(seen: Seen, t: Translator) -> dict[str, Any]:
    """Return a folder of the list in the reader's language."""
    look = seen.look
    if look.problem is not None:
        sentence = t.say(look.problem)
    elif not look.complete:
        sentence = t(N_("Very many files: TensorBoard will be slow. Choose a folder further down."))
    elif not look.files:
        sentence = t(N_("No event files yet: the first run that writes into it appears by itself."))
    else:
        sentence = t(N_("Runs: {runs} · event files: {files}"), runs=look.runs, files=look.files)
    newest = look.newest and datetime.fromtimestamp(look.newest).astimezone()
    return {
        "path": seen.folder.path,
        "name": seen.folder.name,
        "runs": look.runs,
        "event_files": look.files,
        "last_written": newest.isoformat(timespec="seconds") if newest else None,
        "written": t(N_("last written {when}"), when=f"{newest:%Y-%m-%d %H:%M}") if newest else "",
        "complete": look.complete,
        "ok": look.problem in (None, ABSENT.problem) and look.complete,
        "sentence": sentence,
    }


async def offers(board: Board) -> list[str]:
    """Return folders worth adding, none if that takes too long."""
    try:
        return await board.offers()
    except (NoAnswer, FolderRefused):
        return []


def get_routes(surroundings: Surroundings) -> list[Route]:
    """Return the pages of this module, none where there is no TensorBoard."""
    if TOOL not in surroundings.offered:
        return []
    board = surroundings.kept[KEY] = Board(surroundings)
    api = surroundings.url("mlabhub", "api", "log-folders")
    return [
        (surroundings.url(PAGE), ListPage, {"board": board}),
        (api, ListHandler, {"board": board}),
        (f"{api}/use", UseHandler, {"board": board}),
    ]
