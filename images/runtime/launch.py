"""Run ipykernel from a folder of ours in the image's own Python: launch.py FOLDER ARGUMENT...

The folder is on this process's path only; what it starts does not see it.
"""

import sys

sys.path[0] = sys.argv.pop(1)

from ipykernel import kernelapp  # noqa: E402

kernelapp.launch_new_instance()
