"""Safe mode: a server that reads nothing of what its person's programs start with, so that they can mend it in there.

Guarantees: pure; no variable or argument depends on what a person wrote. Their files are all there, to be read and
changed: it is only that nothing of them is run or loaded as the server, a kernel or a terminal starts.

    ~/.jupyter, ~/.local/share/jupyter   configuration, extensions, kernels: other folders, which are new at each start
    ~/.ipython                           start-up files and profiles: the same
    ~/.local/lib/python3*                packages that pip put into the home: not looked at
    modules beside a notebook            a random.py in the home is no module of the server's, nor of a kernel's
    ~/.bashrc, ~/.profile                terminals run bash without
    ~/.config                            settings of programs, matplotlib's say: the same as Jupyter's
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mlabhub.core.tools import ProfileTool

SAFE = "MLABHUB_SAFE"
"""The variable that tells programs in a server of it."""
SAFE_TOOLS: tuple[ProfileTool, ...] = ("lab", "terminal")
"""VS Code and the desktop are made of their person's settings."""
HINT = "Safe mode: your start-up files are not read. Mend what keeps the server from starting, then start it as usual."
"""What a terminal says first, in the words that every terminal can show; after it what else there is to know."""
SHELL = ("/bin/sh", "-c", f"echo '{HINT}'; printenv MLABHUB_NOTES; exec /bin/bash --noprofile --norc")
EMPTIED = ("BASH_ENV", "ENV", "JUPYTER_CONFIG_PATH", "JUPYTER_PATH", "PYTHONPATH", "PYTHONSTARTUP")
"""What an image or the writable layer may set, to be read at a start."""


def safe_environment(launch_id: str) -> Mapping[str, str]:
    """Return the variables: no other launch has the folder, so that nothing lies in it already."""
    folder = f"/tmp/mlabhub-safe-{launch_id}"
    return {
        SAFE: "1",
        "JUPYTER_CONFIG_DIR": f"{folder}/config",
        "JUPYTER_DATA_DIR": f"{folder}/data",
        "IPYTHONDIR": f"{folder}/ipython",
        "MPLCONFIGDIR": f"{folder}/matplotlib",
        "XDG_CACHE_HOME": f"{folder}/cache",
        "XDG_CONFIG_HOME": f"{folder}/xdg-config",
        "XDG_DATA_HOME": f"{folder}/xdg-data",
        "PYTHONNOUSERSITE": "1",
        "PYTHONSAFEPATH": "1",
        **dict.fromkeys(EMPTIED, ""),
    }


def safe_arguments() -> tuple[str, ...]:
    """Return a Jupyter server's arguments.

    Its terminals run no file, its bin has no room in a full home, and what is to be mended is mostly hidden.
    """
    return (
        f"--ServerApp.terminado_settings={{'shell_command': {list(SHELL)}}}",
        "--FileContentsManager.delete_to_trash=False",
        "--ContentsManager.allow_hidden=True",
    )


def safe_tools(tools: Sequence[str]) -> tuple[str, ...]:
    """Return those of a server's tools that there are in safe mode; one at least, to mend something with."""
    return tuple(tool for tool in tools if tool in SAFE_TOOLS) or SAFE_TOOLS[:1]
