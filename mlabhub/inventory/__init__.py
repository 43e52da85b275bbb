"""What this machine has, and which servers run on it, seen from outside the hub.

Guarantees: an answer is complete or it is an error: because of an outage alone no server ever counts as gone.
"""

from mlabhub.inventory.backend import Backend, BackendServer, BackendUnreachable, SavedLayer, make_backend
from mlabhub.inventory.machine import Inventory
from mlabhub.inventory.simulated import prepare_simulated

__all__ = [
    "Backend",
    "BackendServer",
    "BackendUnreachable",
    "Inventory",
    "SavedLayer",
    "make_backend",
    "prepare_simulated",
]
