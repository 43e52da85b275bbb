"""What runs in front of an outside image: becomes the user, starts JupyterLab, finds the image's own Python.

It runs in the interpreter of `/opt/mlabhub`, which has a loader and libraries of its own, so that it works in an image
of any age and distribution.

Guarantees: as root, no program, library or module of the image is run or loaded; kernels and terminals have the
image's own environment; the image's files stay as they are, but for the person's entry in passwd and group.
"""
