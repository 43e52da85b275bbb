"""KubeSpawner and its client take a second and 40 MB to load: nobody pays for it but a hub of a cluster."""

from __future__ import annotations

import subprocess
import sys


def test_only_a_hub_of_a_cluster_loads_kubespawner() -> None:
    program = (
        "import sys\n"
        "import mlabhub.config, mlabhub.spawners.container, mlabhub.spawners.process, mlabhub.spawners.kube.manifest\n"
        "import mlabhub.service.app, mlabhub.cli\n"
        "print([name for name in sys.modules if name.partition('.')[0] in ('kubespawner', 'kubernetes_asyncio')])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
