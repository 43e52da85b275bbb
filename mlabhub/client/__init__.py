"""HTTP clients: of the hub's API (used by the service) and of the service (used by spawners and the command line).

Guarantees: proxies named in the environment are never used; an answer that is not understood is an error, never an
empty answer; every failure to reach the other side is `Unavailable` with a sentence, after a short retry.
"""

from mlabhub.client.accounts import Account, AccountsPage, HubAccounts, NoPasswords
from mlabhub.client.hub import HubClient, HubServer, HubUser
from mlabhub.client.service import Admission, ServiceClient

__all__ = [
    "Account",
    "AccountsPage",
    "Admission",
    "HubAccounts",
    "HubClient",
    "HubServer",
    "HubUser",
    "NoPasswords",
    "ServiceClient",
]
