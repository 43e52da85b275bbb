"""Numeric ids: existing ones are kept, conflicts are said, the system's are never given."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlabhub.core.identity import FIRST_ID, GroupId, Identity, choose_id, is_ordinary
from mlabhub.errors import LaunchRefused

CHOSEN = {
    "the first of the range": ({}, 200000),
    "the first that is free": ({"taken": {200000, 200001, 200003}}, 200002),
    "what was given before": ({"remembered": 200007, "taken": {200000}}, 200007),
    "the account's": ({"account": 1001}, 1001),
    "the account's, made later": ({"account": 1001, "remembered": 200007}, 1001),
    "the folder's owner": ({"folder_owner": 3005}, 3005),
    "all agree": ({"account": 1001, "folder_owner": 1001, "remembered": 1001}, 1001),
    "a list of taken ids": ({"taken": [200000]}, 200001),
    "a range of one": ({"first": 5000, "last": 5000}, 5000),
    "a group with a system group's name": ({"account": 50, "kind": "group"}, 200000),
    "a range that skips nobody": ({"first": 65534, "last": 65536}, 65536),
}


@pytest.mark.parametrize(("known", "number"), CHOSEN.values(), ids=CHOSEN.keys())
def test_choose(known, number):
    assert choose_id("alice", **known) == number


REFUSED = {
    "root": ({"account": 0}, "an account of this machine's system (id 0)"),
    "a system account": ({"account": 33}, "(id 33)"),
    "nobody": ({"account": 65534}, "(id 65534)"),
    "an account whose id is another's": ({"account": 1001, "taken": {1001}}, "another name as well"),
    "a remembered id that is another's": ({"remembered": 200000, "taken": {200000}}, "another name as well"),
    "root's folder": ({"folder_owner": 0}, "belongs to the system (id 0)"),
    "root's folder, account": ({"account": 1001, "folder_owner": 0}, "belongs to the system"),
    "root's folder of a group": ({"folder_owner": 0, "kind": "group"}, 'of group "alice" belongs to the system'),
    "another's folder": ({"folder_owner": 1002, "taken": {1002}}, "belongs to somebody else (id 1002)"),
    "the folder was given away": ({"remembered": 200000, "folder_owner": 1000}, 'but user "alice" has id 200000'),
    "account and folder disagree": ({"account": 1001, "folder_owner": 1002}, "has id 1001"),
    "the range is full": ({"taken": {1, 2}, "first": 1, "last": 2}, "No id is left"),
}


@pytest.mark.parametrize(("known", "sentence"), REFUSED.values(), ids=REFUSED.keys())
def test_refuse(known, sentence):
    with pytest.raises(LaunchRefused) as caught:
        choose_id("alice", folder="/nas/user/alice", **known)
    assert sentence in str(caught.value)
    assert str(caught.value).endswith(".")
    assert caught.value.status == 409


ids = st.none() | st.integers(min_value=0, max_value=1010) | st.integers(min_value=FIRST_ID, max_value=FIRST_ID + 5)


@given(ids, ids, ids, st.sets(st.integers(min_value=990, max_value=1010) | st.integers(200000, 200005)))
def test_never_the_systems_never_anothers(account, folder_owner, remembered, taken):
    try:
        number = choose_id("alice", account=account, folder_owner=folder_owner, remembered=remembered, taken=taken)
    except LaunchRefused:
        return
    assert is_ordinary(number)
    assert number not in taken
    assert folder_owner in (None, number)
    assert account in (None, number)


@pytest.mark.parametrize("number", [-1, 0, 999, 65534, 65535, 2**32 - 1, 2**40])
def test_not_ordinary(number):
    assert not is_ordinary(number)


def test_accounts_inside_a_server_are_safe_names():
    identity = Identity("Alice B:/", 200000, 200000, (GroupId("a,b:0", 200001),))
    assert identity.account.startswith("alice-b---")
    assert identity.groups[0].account.startswith("a-b-0---")
