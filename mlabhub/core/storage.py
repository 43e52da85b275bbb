"""Which folders of the NAS a user's server gets, and where.

Guarantees: what is mounted follows from the person's name and groups alone, never from what a request says; every
source is exactly one folder below its root, every target exactly one below its prefix, whatever the names are.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from mlabhub.core.identity import Identity
from mlabhub.core.names import folder_name
from mlabhub.core.schema import FAULT, KeyFault, Model, key_faults
from mlabhub.errors import InvalidConfiguration
from mlabhub.messages import N_, Message

WORKSPACE = "/mnt"
"""What JupyterLab's file browser shows: all targets are below it."""

PRIVATE_MODE = 0o700
SHARED_MODE = 0o2770


def _path_fault(message: Message) -> PydanticCustomError:
    return PydanticCustomError(FAULT, "{text}", {"faults": (KeyFault((), message),), "text": str(message)})


def _absolute(path: str) -> str:
    usual = posixpath.normpath(path)
    plain = path.startswith("/") and not path.startswith("//") and usual == path and path != "/" and path.isprintable()
    if not plain or ":" in path:
        raise _path_fault(
            Message(N_("must be an absolute path without .. or a slash at the end, such as /srv/nas/user"))
        )
    return path


def _below_workspace(path: str) -> str:
    if not _absolute(path).startswith(f"{WORKSPACE}/"):
        raise _path_fault(Message.of(N_("must be below {workspace}, such as /mnt/user"), workspace=WORKSPACE))
    return path


Root = Annotated[str, Field(strict=True, max_length=1000), AfterValidator(_absolute)]
Target = Annotated[str, Field(strict=True, max_length=200), AfterValidator(_below_workspace)]


class Storage(Model):
    """``storage.yaml``: a root without a value is a folder of the installation's own state folder."""

    user_root: Root | None = Field(default=None, description="Folder on this machine with a private folder per user.")
    share_root: Root | None = Field(default=None, description="Folder on this machine with a shared folder per group.")
    user_target: Target = Field(default="/mnt/user", description="Where a server sees its user's folder.")
    share_target: Target = Field(default="/mnt/share", description="Where a server sees its groups' folders.")

    @model_validator(mode="after")
    def _are_apart(self) -> Storage:
        pairs = [("share_root", self.share_root, self.user_root), ("share_target", self.share_target, self.user_target)]
        for key, one, other in pairs:
            if one and other and (one == other or one.startswith(f"{other}/") or other.startswith(f"{one}/")):
                message = Message.of(
                    N_("{one} and {other} lie in one another; give each a folder of its own"), one=one, other=other
                )
                raise key_faults([KeyFault((key,), message)])
        return self

    def located(self, nas_dir: str) -> Storage:
        """Return it with the roots that have no value put below ``nas_dir``."""
        roots = {
            "user_root": self.user_root or f"{nas_dir}/user",
            "share_root": self.share_root or f"{nas_dir}/share",
        }
        return self.model_copy(update=roots)

    def home(self, user: str) -> str:
        """Return the path of the user's folder inside a server."""
        return f"{self.user_target}/{folder_name(user)}"


@dataclass(frozen=True)
class Folder:
    """How a folder is made if it is not there yet; one that is there is left as it is."""

    uid: int
    gid: int
    mode: int


@dataclass(frozen=True)
class Mount:
    """A folder of this machine inside a server."""

    source: str
    target: str
    read_only: bool = False
    create: Folder | None = None


def mounts_for(storage: Storage, identity: Identity, groups: Iterable[str] | None = None) -> tuple[Mount, ...]:
    """Return what a user's servers see: their own folder, then one per group, in the groups' order.

    ``groups`` narrows it to some of the identity's groups. Raises `InvalidConfiguration` if the storage's roots have
    not been located.
    """
    if storage.user_root is None or storage.share_root is None:
        raise InvalidConfiguration(N_("The roots of the storage are not known yet: locate them first."))
    own = Mount(
        source=f"{storage.user_root}/{folder_name(identity.name)}",
        target=storage.home(identity.name),
        create=Folder(identity.uid, identity.gid, PRIVATE_MODE),
    )
    chosen = None if groups is None else frozenset(groups)
    shared = (
        Mount(
            source=f"{storage.share_root}/{folder_name(group.name)}",
            target=f"{storage.share_target}/{folder_name(group.name)}",
            create=Folder(0, group.gid, SHARED_MODE),
        )
        for group in identity.groups
        if chosen is None or group.name in chosen
    )
    return (own, *shared)
