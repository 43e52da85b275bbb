"""The hub's own words, where we do not replace its page: in the frame of every page, and what its JavaScript writes.

Guarantees: what the hub's next version says otherwise stays in English, and nothing breaks; only whole texts that we
know are said otherwise, so that nobody's name is.
"""

from __future__ import annotations

import re

from jinja2.ext import Extension

from mlabhub.i18n import DEFAULT_LANGUAGE, Translator
from mlabhub.messages import N_

FRAME = "page.html"
"""The hub's template of every page's frame; its name where ours extends it has a folder before it."""

REPLACED = (
    ('<html lang="en">', '<html lang="{{ _.html_lang }}">'),
    ('aria-label="Toggle navigation"', 'aria-label="{{ _("Toggle navigation") }}"'),
    ('aria-label="Close"></button>', 'aria-label="{{ _("Close") }}"></button>'),
    ("{{ title }}</h2>", "{{ _(title) }}</h2>"),
    ("{{ btn_label }}</button>", "{{ _(btn_label) }}</button>"),
    ("JupyterHub requires JavaScript.\n", '{{ _("Some of this page needs JavaScript.") }}\n'),
    ("        <br>\n        Please enable it to proceed.\n", ""),
)

TEMPLATE_WORDS = (
    N_("Toggle navigation"),
    N_("Close"),
    N_("Error"),
    N_("OK"),
    N_("Some of this page needs JavaScript."),
)

SCOPE_WORDS = (
    N_("Access user servers via API or browser."),
    N_("Read names of users."),
    N_("Read users’ group membership."),
    N_("Access services via API or browser."),
    N_("Anything you have access to"),
    N_("Your own resources"),
    N_("only you"),
)
"""How the hub describes what a program asks for that somebody is asked about."""

ADMIN_WORDS = (
    N_("Start All"),
    N_("Start all default servers on the current page"),
    N_("Stop All"),
    N_("Stop all servers including named servers on the current page"),
    N_("Shutdown Hub"),
    N_("Search Users"),
    N_("user-search"),
    N_("Only Active Servers"),
    N_("check to only show running servers, otherwise show all"),
    N_("Add Users"),
    N_("Manage Groups"),
    N_("User"),
    N_("Server"),
    N_("Last Activity"),
    N_("Server Start Time"),
    N_("Profile"),
    N_("Actions"),
    N_("Never"),
    N_("Start Server"),
    N_("Stop Server"),
    N_("Delete Server"),
    N_("Access Server"),
    N_("Server is pending"),
    N_("Spawn Page"),
    N_("Edit User"),
    N_("Displaying"),
    N_("Previous"),
    N_("Next"),
    N_("Items per page:"),
    N_("pagination-limit"),
    N_("usernames separated by line"),
    N_("updated username"),
    N_("Editing user"),
    N_("Delete user"),
    N_("Admin"),
    N_("Back"),
    N_("Apply"),
    N_("Groups"),
    N_("no groups created..."),
    N_("New Group"),
    N_("Create Group"),
    N_("Create"),
    N_("group name..."),
    N_("Editing Group"),
    N_("Manage group members"),
    N_("Manage group properties"),
    N_("Add by username"),
    N_("Delete Group"),
    N_("Close alert"),
    N_("Failed to update user list."),
    N_("Failed to start servers."),
    N_("Failed to stop servers."),
    N_("Failed to start server."),
    N_("Failed to stop server."),
    N_("Failed to delete server."),
    N_("Failed to create group."),
    N_("Failed to create group. Group already exists."),
    N_("Failed to edit group."),
    N_("Failed to delete group."),
    N_("Failed to update group list."),
    N_("Could not update groups list."),
)
"""What the page of administrators shows as a text of its own."""

SHAPES = (
    N_("of {total}"),
    N_("{n} seconds ago"),
    N_("{n} minutes ago"),
    N_("{n} hours ago"),
    N_("{n} days ago"),
    N_("{n} months ago"),
    N_("{n} years ago"),
    N_('Are you sure you want to delete your server "{server}"?'),
    N_("API request failed ({status}): {reason}"),
)
"""What the hub's JavaScript writes with values in it."""


class HubFrame(Extension):
    """Has the frame of the hub's pages say its few words in the reader's language, whose name it carries."""

    def preprocess(self, source: str, name: str | None, filename: str | None = None) -> str:
        """Return the source of a template of the hub's with these words replaced; other templates as they are."""
        if name not in (FRAME, f"templates/{FRAME}"):
            return source
        for old, new in REPLACED:
            source = source.replace(old, new)
        return source


def hub_words(t: Translator) -> dict[str, list[list[str]]] | None:
    """Return what `hub-words.js` says otherwise: texts, and patterns of texts with values; None in English."""
    if t.language == DEFAULT_LANGUAGE:
        return None
    return {
        "words": [[word, t.gettext(word)] for word in ADMIN_WORDS],
        "shapes": [[pattern_of(shape), t.gettext(shape)] for shape in SHAPES],
    }


def pattern_of(shape: str) -> str:
    """Return the regular expression, for JavaScript, of a text with values: ``of {total}`` is ``^of (?<total>.+)$``."""
    parts = re.split(r"\{(\w+)\}", shape)
    texts = [f"(?<{part}>.+)" if at % 2 else re.sub(r"[^\w\s:\"]", r"\\\g<0>", part) for at, part in enumerate(parts)]
    return f"^{''.join(texts)}$"
