"""Whether the addresses that messages go to can be used; nothing is sent, and none is shown."""

from __future__ import annotations

from collections.abc import Sequence

from mlabhub.catalog import notifications_file, read_notifications
from mlabhub.cli.findings import Check
from mlabhub.settings import Settings


def look_at_messages(settings: Settings | None) -> Sequence[Check]:
    """Return what is wrong with notifications.yaml, or how many addresses it has; nothing where there is none."""
    if settings is None:
        return ()
    file = notifications_file(settings.config_dir)
    if not (file.exists() or file.is_symlink()):
        return ()
    from mlabhub.service.notify.wire import is_known  # loads Apprise, which few need

    loaded = read_notifications(file, is_known)
    if loaded.faults:
        found = (
            f"faults: {len(loaded.faults)}; what was read before stays in force, and nothing is sent after a restart"
        )
        return (Check("messages", "missing", found, "; ".join(map(str, loaded.faults))),)
    try_out = f"Try them by `mlabhub notify test {settings.config_dir}`."
    return (Check("messages", "ok", f"addresses: {len(loaded.addresses)}. {try_out}"),)
