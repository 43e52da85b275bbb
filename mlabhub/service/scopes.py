"""What the service and the people who use it may do at the hub; the hub's configuration takes it from here."""

from __future__ import annotations

from mlabhub.settings import SERVICE_NAME

CLIENT_ID = f"service-{SERVICE_NAME}"
"""The service's name in the hub's OAuth."""

ACCESS_SCOPE = f"access:services!service={SERVICE_NAME}"
"""What a person, or a token, needs to use the service."""

SEE_ALL_SCOPE = f"custom:{SERVICE_NAME}:see-all"
"""What a token that is no administrator's needs to see who holds what; the command line's on the hub's own machine."""

SET_QUOTAS_SCOPE = f"custom:{SERVICE_NAME}:set-quotas"
"""What a token that is no administrator's needs to change quotas; the command line's on the hub's own machine."""

PEOPLE_SCOPES = ("admin:users", "admin:groups")
"""What a login or token needs to open and close accounts: the service passes it on, and the hub decides."""

CUSTOM_SCOPES = {
    SEE_ALL_SCOPE: {"description": "See who holds which GPU, and what else uses it; change nothing."},
    SET_QUOTAS_SCOPE: {"description": "Change quotas at run time, and undo such changes."},
}

SERVICE_SCOPES = {
    "list:users": "find all active servers",
    "list:groups": "tell a quota of a group that is not there",
    "read:users": "names, administrators, and the groups by which a launch is decided",
    "read:servers": "which servers run or are on their way",
    "start:servers": "start a server that was admitted",
    "delete:servers": "stop a server when its owner or an administrator asks here",
}
"""What the service's token may do at the hub, and why. Never ``admin:*``."""
