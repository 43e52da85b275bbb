"""Labels and annotations that mark what is ours on a cluster. Everything else on it is left alone.

A label's value is at most 63 of a small alphabet, and can be selected; whatever a person or group may be called stands
in an annotation. Guarantees: a label's value made here is always a valid one, and no two launches share one.
"""

from __future__ import annotations

import hashlib
import re

from mlabhub.core.names import server_slug

PREFIX = "mlabhub/"
INSTANCE = f"{PREFIX}instance"
"""Label: the installation. Everything that we made has it."""
LAUNCH = f"{PREFIX}launch"
"""Label: `launch_label` of the launch's id."""
PART = f"{PREFIX}part"
"""Label: what it is for us, one of the `PART_*`."""
EGRESS = f"{PREFIX}egress"
"""Label: what the pod may reach outside; network policies select by it."""

LAUNCH_ID = f"{PREFIX}launch-id"
"""Annotation: the launch's id as it is. So are the following."""
USER = f"{PREFIX}user"
SERVER = f"{PREFIX}server"
DISPLAY_NAME = f"{PREFIX}display-name"
PROFILE = f"{PREFIX}profile"
KIND = f"{PREFIX}kind"
GPUS = f"{PREFIX}gpus"
"""The GPUs of its placement, with commas; which of its node's it really has, the device plugin decides."""
FOLDER = f"{PREFIX}folder"
"""Of a claim that we made: the folder of storage.yaml that it keeps."""

PART_SERVER = "server"
PART_AIRLOCK = "airlock"
PART_FOLDERS = "folders"
"""A short-lived pod that makes people's folders."""
PART_SITE = "site"
"""The site's settings for people's servers."""
PART_STORAGE = "storage"
"""A claim that keeps a person's or a group's folder."""

MOST = 63
_VALUE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")


def launch_label(launch_id: str) -> str:
    """Return a launch's id as a label's value: as it is where that can be, else its digest."""
    if len(launch_id) <= MOST and _VALUE.fullmatch(launch_id):
        return launch_id
    return "x-" + hashlib.sha256(launch_id.encode("utf-8", "surrogatepass")).hexdigest()[:40]


def object_name(instance: str, slug: str) -> str:
    """Return the name of a pod of ours, or of what belongs to it: at most 63 of ``[a-z0-9-]``."""
    return f"mlabhub-{instance}-{slug}"


def pod_name(instance: str, user: str, server: str) -> str:
    """Return the name of a server's pod."""
    return object_name(instance, server_slug(user, server))
