"""What the doctor finds: one value for one thing, spoken in the language of who asks.

Guarantees: nothing in a finding is a secret; what came from elsewhere is cut short and shown as text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from mlabhub_proxies.words import Said, Translator

Status = Literal["ok", "info", "better", "missing"]
ORDER: tuple[Status, ...] = ("missing", "better", "ok", "info")


@dataclass(frozen=True)
class Finding:
    """One thing looked at.

    ``missing``: something that this server offers does not work without it; ``better``: not as it should be.
    """

    slug: str
    """Its name for programs."""
    name: str
    """Its name for people (`N_`)."""
    status: Status
    found: Said
    fix: Said | None = None


def findings_json(findings: list[Finding], t: Translator) -> list[dict[str, Any]]:
    """Return findings in a language, what needs a hand first."""
    ordered = sorted(findings, key=lambda one: ORDER.index(one.status))
    return [
        {
            "slug": one.slug,
            "name": t(one.name),
            "status": one.status,
            "found": t.say(one.found),
            "fix": t.say(one.fix) if one.fix else "",
        }
        for one in ordered
    ]
