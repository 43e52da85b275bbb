"""JupyterLab in front of an outside image, as the user: kernels of the image, configuration of ours."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from mlabhub_outside.kernels import HERE, write_kernels


def main(arguments: list[str]) -> None:
    """Write the kernels' specifications, then become the server."""
    folder = Path(os.environ.get("XDG_RUNTIME_DIR") or "/tmp") / "mlabhub-jupyter"
    write_kernels(folder, os.environ)
    os.environ["JUPYTER_PATH"] = str(folder)

    from jupyter_core import paths

    # Nothing of the image's own Jupyter is loaded into ours: neither its configuration nor its extensions.
    paths.SYSTEM_CONFIG_PATH[:] = [str(HERE / "etc/jupyter")]
    paths.SYSTEM_JUPYTER_PATH[:] = []

    from jupyterhub.singleuser import main as serve

    sys.argv = ["jupyterhub-singleuser", *arguments]
    serve()


if __name__ == "__main__":
    main(sys.argv[1:])
