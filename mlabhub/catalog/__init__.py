"""The configuration folder: YAML files in, a validated `Catalog` out, or every fault at once with its file and line.

Guarantees: reading never fails with anything but an `InvalidCatalog`; no file is changed; nothing is half accepted.
"""

from mlabhub.catalog.faults import Fault, InvalidCatalog
from mlabhub.catalog.folder import (
    FILES,
    Loaded,
    default_directory,
    load_catalog,
    load_idle,
    load_quotas,
    read_folder,
    read_idle,
)
from mlabhub.catalog.json_schema import folder_schema
from mlabhub.catalog.notifications import LoadedNotifications, notifications_file, read_notifications

__all__ = [
    "FILES",
    "Fault",
    "InvalidCatalog",
    "Loaded",
    "LoadedNotifications",
    "default_directory",
    "folder_schema",
    "load_catalog",
    "load_idle",
    "load_quotas",
    "notifications_file",
    "read_folder",
    "read_idle",
    "read_notifications",
]
