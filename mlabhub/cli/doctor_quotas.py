"""What doctor says of quotas: what the running service notes of those in force."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mlabhub.cli.findings import Check
from mlabhub.cli.remote import find_service
from mlabhub.errors import MLabError
from mlabhub.settings import Settings

PATIENCE_S = 10.0
FIX = "Change quotas.yaml, or see `mlabhub quota show` and `mlabhub quota history`; nothing breaks meanwhile."


def look_at_quotas(settings: Settings | None) -> Sequence[Check]:
    """Return a finding for each note; nothing while the service does not run, or may not be asked."""
    if settings is None:
        return ()
    try:
        service = replace(find_service(settings.state_dir), timeout_s=PATIENCE_S)
        notes = service.get("quotas").get("notes", ())
    except MLabError:
        return ()
    return [Check("quotas", "better", str(note), FIX) for note in notes] or [
        Check("quotas", "ok", "as they can be kept")
    ]
