"""What a tool's state is to people and to programs.

Guarantees: sentences are in the language of who asks; the log's end is given only for a tool that failed.
"""

from __future__ import annotations

import time
from typing import Any

from mlabhub_proxies.running import FAILED, READY, STARTING, RunningTool
from mlabhub_proxies.tools import Tool
from mlabhub_proxies.words import N_, Said, Translator

SENTENCES = {
    STARTING: N_("{tool} is starting."),
    READY: N_("{tool} is ready."),
}
NOT_YET = N_("{tool} has not been started.")


def sentence_of(running: RunningTool, t: Translator) -> str:
    """Return what a tool's state is, in a sentence."""
    if running.reason is not None:
        return t.say(running.reason)
    return t(SENTENCES.get(running.state, NOT_YET), tool=Said.of(running.tool.title))


def status_json(tool: Tool, running: RunningTool | None, t: Translator) -> dict[str, Any]:
    """Return the state of an offered tool; one without a process is always ready."""
    state = running.state if running else READY
    return {
        "slug": tool.slug,
        "title": t(tool.title),
        "what": t(tool.sentence),
        "address": tool.address,
        "state": state,
        "since": running.since if running else None,
        "seconds": round(time.time() - running.since, 1) if running else None,
        "typical_seconds": tool.program.typical_seconds if tool.program else 0,
        "sentence": sentence_of(running, t) if running else t(SENTENCES[READY], tool=Said.of(tool.title)),
        "fix": t(tool.program.hint) if tool.program and state == FAILED else "",
        "log": running.last_words() if running and state == FAILED else "",
    }
