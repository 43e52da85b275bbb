"""Numbers of users and groups: what the machine says, what the ledger remembers, and a storage that hangs."""

from __future__ import annotations

import asyncio
import grp
import os
import pwd
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlabhub.core.storage import Storage
from mlabhub.errors import LaunchRefused, Unavailable
from mlabhub.ledger import Contents, KnownId
from mlabhub.service.identity import MachineAccounts
from mlabhub.service.projection import Projection


def projection(*ids: KnownId) -> Projection:
    return Projection(Contents((), {}, (), ids))


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    for folder in ("user", "share"):
        (tmp_path / folder).mkdir()
    return Storage(user_root=str(tmp_path / "user"), share_root=str(tmp_path / "share"))


@pytest.fixture
def accounts(storage: Storage) -> Any:
    one = MachineAccounts(lambda: storage, lambda: 0.0, own_folders=True)
    yield one
    one.close()


async def test_new_names_get_numbers_that_nobody_has(accounts: MachineAccounts) -> None:
    facts = await accounts.look_up("alice", ("vision", "nlp"))
    others = projection(KnownId("user", "bob", 200000), KnownId("group", "team", 200001))
    identity = facts.choose(others)
    numbers = [identity.uid, *(group.gid for group in identity.groups)]
    assert numbers == [200002, 200003, 200004]
    assert identity.gid == identity.uid


@pytest.mark.engine  # as root: only root can give folders away
async def test_a_newcomer_never_gets_the_number_of_an_absent_persons_folder(
    accounts: MachineAccounts, storage: Storage
) -> None:
    """Also with a ledger that is new, or from yesterday."""
    for folder, number in ((f"{storage.user_root}/bob", 200000), (f"{storage.share_root}/team", 200001)):
        os.mkdir(folder)
        os.chown(folder, number, number)
    os.symlink("nowhere", f"{storage.user_root}/dangling")
    facts = await accounts.look_up("alice", ("vision",))
    identity = facts.choose(projection())
    assert [identity.uid, identity.groups[0].gid] == [200002, 200003]


async def test_what_was_given_is_remembered(accounts: MachineAccounts) -> None:
    facts = await accounts.look_up("alice", ("vision",))
    known = projection(KnownId("user", "alice", 200007), KnownId("group", "vision", 200009))
    identity = facts.choose(known)
    assert (identity.uid, identity.groups[0].gid) == (200007, 200009)


async def test_existing_folders_keep_their_owners(accounts: MachineAccounts, storage: Storage) -> None:
    uid, gid = (4321, 8765) if os.geteuid() == 0 else (os.getuid(), os.getgid())
    for folder in (f"{storage.user_root}/alice", f"{storage.share_root}/vision"):
        os.mkdir(folder)
        os.chown(folder, uid, gid)
    facts = await accounts.look_up("alice", ("vision",))
    identity = facts.choose(projection())
    assert (identity.uid, identity.groups[0].gid) == (uid, gid)
    with pytest.raises(LaunchRefused, match="belongs to somebody else"):
        facts.choose(projection(KnownId("user", "bob", uid)))
    # A user and a group may have the same number, as on any Unix machine.
    facts.choose(projection(KnownId("group", "team", uid)))


async def test_a_group_of_the_systems_name_gets_a_number_of_its_own(accounts: MachineAccounts) -> None:
    """The hub's group `staff` is not this machine's, and its number is nobody else's either."""
    facts = await accounts.look_up("alice", ("staff",))
    identity = facts.choose(projection(KnownId("user", "bob", 200000), KnownId("group", "team", 200002)))
    assert grp.getgrnam("staff").gr_gid < 1000
    assert (identity.uid, identity.groups[0].gid) == (200001, 200003)


async def test_a_folder_of_another_account_is_refused(
    accounts: MachineAccounts, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.geteuid() == 0:
        os.mkdir(f"{storage.user_root}/alice")
        os.chown(f"{storage.user_root}/alice", 54321, 54321)
    monkeypatch.setattr("mlabhub.service.identity._account_name", lambda number: "mallory")
    facts = await accounts.look_up("alice", ())
    facts = replace(facts, occupied=facts.occupied | {54321})
    with pytest.raises(LaunchRefused, match="belongs to somebody else"):
        facts.choose(projection())


async def test_folders_mean_nothing_where_servers_have_no_users_of_their_own(storage: Storage) -> None:
    os.mkdir(f"{storage.user_root}/alice")
    accounts = MachineAccounts(lambda: storage, lambda: 0.0, own_folders=False)
    facts = await accounts.look_up("alice", ())
    accounts.close()
    assert facts.user.folder_owner is None


async def test_accounts_of_the_system_are_nobodys(accounts: MachineAccounts) -> None:
    with pytest.raises(LaunchRefused, match="account of this machine's system"):
        (await accounts.look_up("daemon", ())).choose(projection())


async def test_accounts_of_people_keep_their_numbers(
    accounts: MachineAccounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = pwd.struct_passwd(("alice", "x", 1000, 1500, "", "/home/alice", "/bin/sh"))
    monkeypatch.setattr(pwd, "getpwnam", {"alice": entry}.__getitem__)
    group = grp.struct_group(("vision", "x", 1000, []))
    monkeypatch.setattr(grp, "getgrnam", {"vision": group}.__getitem__)
    identity = (await accounts.look_up("alice", ("vision",))).choose(projection())
    assert (identity.uid, identity.gid, identity.groups[0].gid) == (1000, 1500, 1000)


async def test_a_storage_that_hangs_costs_one_refusal(
    accounts: MachineAccounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = threading.Event()
    monkeypatch.setattr("mlabhub.service.identity._PATIENCE_S", 0.05)
    monkeypatch.setattr(MachineAccounts, "_owner", lambda self, folder: answer.wait(5) and None)
    with pytest.raises(Unavailable, match="does not answer, so nothing was started"):
        await accounts.look_up("alice", ())
    answer.set()
    assert (await accounts.look_up("bob", ())).user.name == "bob"


async def test_a_storage_that_cannot_be_read_is_named(accounts: MachineAccounts, storage: Storage) -> None:
    broken = f"{storage.user_root}/alice"
    os.symlink(broken, broken)  # a loop
    with pytest.raises(Unavailable, match=r"alice cannot be read \(Too many levels of symbolic links\)"):
        await accounts.look_up("alice", ())


async def test_answers_are_kept_for_a_while(storage: Storage) -> None:
    now = [0.0]
    accounts = MachineAccounts(lambda: storage, lambda: now[0], own_folders=True)
    first = await accounts.look_up("alice", ())
    assert await accounts.look_up("alice", ()) is first
    now[0] = 31.0
    assert await accounts.look_up("alice", ()) is not first
    accounts.close()
    await asyncio.sleep(0)


async def test_folders_are_looked_for_below_the_roots_of_each_group(tmp_path: Path) -> None:
    uid, gid = (4321, 8765) if os.geteuid() == 0 else (os.getuid(), os.getgid())
    roots = {what: str(tmp_path / what) for what in ("user", "share", "user2", "share2")}
    for folder in (f"{roots['user2']}/alice", f"{roots['share2']}/research"):
        os.makedirs(folder)
        os.chown(folder, uid, gid)
    research = {
        "user_root": roots["user2"],
        "user_target": "/mnt2/user",
        "share_root": roots["share2"],
        "share_target": "/mnt2/share",
    }
    values = {"user_root": roots["user"], "share_root": roots["share"], "groups": {"research": research}}
    accounts = MachineAccounts(lambda: Storage.model_validate(values), lambda: 0.0, own_folders=True)
    for groups in (("research",), ("research", "vision")):
        identity = (await accounts.look_up("alice", groups)).choose(projection())
        assert (identity.uid, identity.groups[0].gid) == (uid, gid)
    accounts.close()


async def test_who_asks_while_the_service_ends_is_told_so(accounts: MachineAccounts) -> None:
    accounts.close()
    with pytest.raises(Unavailable, match="The service is being stopped"):
        await accounts.look_up("alice", ())
