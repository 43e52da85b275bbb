"""Enter the person beside an image's own accounts, in a folder that the server then has as its /etc/passwd and group.

Run in a container of the image, before the server: ``accounts FOLDER``. Guarantees: it needs no right of root's, and
writes to that folder alone.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from mlabhub_outside.shell import choose_shell
from mlabhub_outside.start import load_entry, set_shell

NONE = {"passwd": "root:x:0:0:root:/root:/bin/sh\n", "group": "root:x:0:\n"}


def copy_accounts(etc: Path, folder: Path) -> None:
    """Copy passwd and group; where the image has none, or nobody may read them, there is root alone."""
    for name, text in NONE.items():
        try:
            shutil.copyfile(etc / name, folder / name)
        except OSError:
            (folder / name).write_text(text)


def main(folder: Path, etc: Path = Path("/etc")) -> None:
    """Write both files."""
    entry = load_entry()
    try:
        person = entry.parse_person(dict(os.environ))
        copy_accounts(etc, folder)
        if person is not None:
            passwd, user = entry.with_user((folder / "passwd").read_text(errors="replace"), person)
            group, _ = entry.with_groups((folder / "group").read_text(errors="replace"), person, user)
            (folder / "passwd").write_text(passwd)
            (folder / "group").write_text(group)
            set_shell(user, choose_shell("/bin/bash"), folder / "passwd")
    except (entry.EntryError, OSError) as error:
        sys.exit(f"mlabhub: nobody can be made known in this image: {error}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
