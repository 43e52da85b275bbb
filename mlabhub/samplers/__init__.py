"""How much servers use what they hold, as the machine or the cluster tells it: never as the server itself says.

Guarantees: what cannot be measured is None in a `Reading`, with its reason in words, and never zero; no sampler raises
because of what it reads, and none waits long for what does not answer.
"""

from mlabhub.samplers.cluster import ClusterSampler
from mlabhub.samplers.cpu import CpuSampler
from mlabhub.samplers.nvml import NvmlSampler
from mlabhub.samplers.prometheus import Prometheus
from mlabhub.samplers.rounds import Asked, InThread, Rounds
from mlabhub.samplers.simulated import SimulatedUse

__all__ = [
    "Asked",
    "ClusterSampler",
    "CpuSampler",
    "InThread",
    "NvmlSampler",
    "Prometheus",
    "Rounds",
    "SimulatedUse",
]
