"""What the service and the people who use it may do at the hub; the hub's configuration takes it from here."""

from __future__ import annotations

from mlabhub.settings import SERVICE_NAME

CLIENT_ID = f"service-{SERVICE_NAME}"
"""The service's name in the hub's OAuth."""

ACCESS_SCOPE = f"access:services!service={SERVICE_NAME}"
"""What a person, or a token, needs to use the service."""

SERVICE_SCOPES = {
    "list:users": "find all active servers",
    "read:users": "names, administrators, and the groups by which a launch is decided",
    "read:servers": "which servers run or are on their way",
    "start:servers": "start a server that was admitted",
    "delete:servers": "stop a server when its owner or an administrator asks here",
}
"""What the service's token may do at the hub, and why. Never ``admin:*``."""
