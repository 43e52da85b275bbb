"""The first process of a server from an outside image: make the user known, become that user, run the arguments.

Guarantees: those of the base image's entry, which it uses; and no way back to root without sudo.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import sys
from collections.abc import Callable
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any

from mlabhub_outside.environment import set_aside
from mlabhub_outside.shell import choose_shell

PYTHON = "/opt/mlabhub/bin/python3"
SERVER = "jupyterhub-singleuser"
PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL = 24, 38, 47, 4
_libc = ctypes.CDLL(None, use_errno=True)


def load_entry(path: str = "/opt/mlabhub/entry") -> ModuleType:
    """Return the base image's entry as a module."""
    spec = spec_from_loader("entry", SourceFileLoader("entry", path))
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules["entry"] = module
    spec.loader.exec_module(module)
    return module


def make_files(check_own: Callable[[Path, Path], None], root: Path = Path("/")) -> None:
    """Make the files that the entry writes to, their folders and those for temporary files, where the image has none.

    A link is never followed: it may lead to a folder of the NAS. Root has no right here to write where its own
    permissions say no, but it may change those of what it owns.
    """
    for folder in (root, root / "etc", root / "var", root / "var/lib"):
        check_own(folder, root)
        folder.mkdir(exist_ok=True)
        if not os.access(folder, os.W_OK):
            folder.chmod(folder.stat().st_mode & 0o7777 | 0o200)
    for folder in (root / "tmp", root / "var/tmp"):
        if not folder.is_symlink():
            folder.mkdir(exist_ok=True)
            folder.chmod(0o1777)
    etc = root / "etc"
    for name, text in (("passwd", "root:x:0:0:root:/root:/bin/sh\n"), ("group", "root:x:0:\n")):
        if not os.path.lexists(etc / name):
            (etc / name).write_text(text)


def set_shell(user: str, shell: str, passwd: Path = Path("/etc/passwd")) -> None:
    """Give the user a shell that the image has."""
    lines = [line.split(":") for line in passwd.read_text().splitlines()]
    for fields in lines:
        if fields[0] == user:
            fields[-1] = shell
    passwd.write_text("".join(":".join(fields) + "\n" for fields in lines))


def drop_root(uid: int, gid: int, groups: list[int], *, sudo: bool) -> None:
    """Become the user; without sudo for good."""
    if not sudo:
        for capability in range(64):
            if _libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) and ctypes.get_errno() != 22:
                raise OSError(ctypes.get_errno(), "the bounding set cannot be emptied")
        if _libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "new privileges cannot be ruled out")
    _libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    os.setgroups(groups)
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)


def make_command(arguments: list[str]) -> list[str]:
    """Return what to run: the server is ours, anything else the image's."""
    module = (
        ["mlabhub_outside.serve", *arguments[1:]] if arguments[:1] == [SERVER] else ["mlabhub_outside.run", *arguments]
    )
    return [PYTHON, "-I", "-X", "utf8", "-m", *module]


def become_known(entry: ModuleType, person: Any) -> str:
    """Enter the person as root; return the name it has."""
    make_files(entry.check_own)
    user: str = entry.enter(person)
    set_shell(user, choose_shell("/bin/bash"))
    if entry.SUDOERS.parent.is_dir():
        entry.allow_sudo(person)
    return user


def name_of(person: Any) -> str:
    """Return the name that the person has in /etc/passwd, where somebody else has entered it."""
    try:
        return pwd.getpwuid(person.uid).pw_name
    except KeyError:
        return str(person.name)


def become(entry: ModuleType, person: Any) -> None:
    """Become the person, who may be who this process is from the start."""
    is_root = os.geteuid() == 0
    if not is_root:
        entry.check_is(person)
    user = become_known(entry, person) if is_root else name_of(person)
    runtime_dir = entry.make_runtime_dir(person) if is_root else entry.make_own_runtime_dir(person)
    os.environ.update(
        USER=user,
        LOGNAME=user,
        HOME=person.home,
        SHELL=choose_shell("/bin/bash"),
        XDG_RUNTIME_DIR=runtime_dir,
        JUPYTER_RUNTIME_DIR=runtime_dir + "/jupyter",
    )
    os.umask(0o002)
    if is_root:
        drop_root(person.uid, person.gid, entry.group_ids(person), sudo=person.sudo)
    elif _libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "new privileges cannot be ruled out")


def main(arguments: list[str]) -> None:
    """Run the arguments as the person that the environment names."""
    entry = load_entry()
    set_aside(os.environ)
    try:
        entry.drop_emptied(os.environ)
        person = entry.parse_person(dict(os.environ))
        if person is not None:
            become(entry, person)
        entry.run(make_command(arguments))
    except (entry.EntryError, OSError) as error:
        sys.exit(f"mlabhub: the server cannot be started in this image: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
