"""What the reconciler says: why something differs, and what follows from it."""

from __future__ import annotations

from mlabhub.messages import N_
from mlabhub.service.reconcile_rules import Kind

WORDS: dict[Kind, str] = {
    "ready": N_("the hub serves it"),
    "release": N_("neither the hub nor the machine has it"),
    "remove": N_("the hub does not have it, and nobody works in it: it is removed, what was installed is kept"),
    "lost": N_(
        "it runs, but the hub has lost it: it is left alone, and its GPUs stay taken, until an administrator acts"
    ),
    "resume": N_("hub and machine agree that it runs"),
    "unknown": N_("it runs, but the hub does not know it; `mlabhub reconcile --repair` ends it"),
    "adopt": N_("it runs at the hub without a reservation: it is counted from now on"),
    "orphan": N_(
        "it runs without reservation, and the hub does not know it: it is counted, and left for an administrator"
    ),
    "move": N_("the cluster runs it on another node than was planned"),
    "unreachable": N_("its node does not answer: it is counted until the node is back or taken out of the cluster"),
    "silent": N_("its node still does not answer: it is counted until the node is back or taken out of the cluster"),
    "double": N_("it runs beside another server of the same name; `mlabhub reconcile --repair` ends it"),
}

FOLLOWS: dict[Kind, str] = {
    "ready": N_("it is counted as running"),
    "release": N_("its GPUs, processors and memory are given back"),
    "remove": N_("what is left of it is removed, and what it held is given back"),
    "lost": N_("it goes on running and holds what it holds, until it is repaired"),
    "resume": N_("it is counted as running again"),
    "unknown": N_("it ends, and what it held is given back; what was installed is kept"),
    "adopt": N_("what it holds is counted"),
    "orphan": N_("what it holds is counted, until it is repaired"),
    "double": N_("it ends; what was installed is kept. The other one goes on"),
    "move": N_("it is counted where it runs"),
    "unreachable": N_("what it holds stays taken"),
    "silent": N_("nothing, until its node answers or is taken out of the cluster"),
}
"""What a round does about it, by itself or when a repair is asked for."""
