"""The one file with secrets: others cannot read it, and nothing that is wrong with it tells them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlabhub.catalog import folder_schema, notifications_file, read_folder, read_notifications
from tests.catalog.conftest import PROFILES

SECRET = "hunter2hunter2"
GOOD = f"""\
language: zh_CN
site:
  admins: {{url: "slack://{SECRET}/B/C/#gpu", kinds: [reclaimed]}}
users:
  default: {{url: "mailto://robot:{SECRET}@mail.lab.example?to={{user}}@lab.example"}}
"""


def write(folder: Path, text: str, mode: int = 0o600, name: str = "notifications.yaml") -> Path:
    file = folder / name
    file.write_text(text)
    file.chmod(mode)
    return file


def test_without_a_file_nothing_is_sent_and_nothing_is_wrong(tmp_path: Path) -> None:
    loaded = read_notifications(tmp_path / "notifications.yaml")
    assert loaded.settings is not None
    assert not loaded.there
    assert not loaded.faults
    assert not loaded.addresses


def test_a_good_file_is_read(tmp_path: Path) -> None:
    loaded = read_notifications(write(tmp_path, GOOD))
    assert loaded.faults == ()
    assert loaded.settings is not None
    assert loaded.settings.language == "zh_CN"
    assert set(loaded.addresses) == {("site", "admins"), ("users", "default")}
    assert SECRET not in repr(loaded)


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602, 0o666, 0o755])
def test_a_file_that_others_can_read_or_write_is_refused(tmp_path: Path, mode: int) -> None:
    (fault,) = read_notifications(write(tmp_path, GOOD, mode)).faults
    assert "others can read" in str(fault)
    assert f"{mode:04o}" in str(fault)
    assert "chmod 600" in str(fault)


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o400, 0o440])
def test_owner_and_group_may_read_it(tmp_path: Path, mode: int) -> None:
    assert read_notifications(write(tmp_path, GOOD, mode)).faults == ()


def test_an_address_may_stand_in_a_file_of_its_own(tmp_path: Path) -> None:
    write(tmp_path, f"json://{SECRET}@localhost/\nsecond line\n", name="hook")
    loaded = read_notifications(write(tmp_path, "site: {admins: {url_file: hook}}\n"))
    assert loaded.addresses == {("site", "admins"): f"json://{SECRET}@localhost/"}
    assert loaded.files == (tmp_path / "notifications.yaml", tmp_path / "hook")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        pytest.param(lambda file: None, "cannot be read", id="absent"),
        pytest.param(lambda file: file.mkdir(), "does not name a file", id="folder"),
        pytest.param(lambda file: os.mkfifo(file), "does not name a file", id="pipe"),
        pytest.param(lambda file: file.touch(0o600), "first line is empty", id="empty"),
        pytest.param(lambda file: (file.write_bytes(b"\xff\xfe"), file.chmod(0o600)), "UTF-8", id="not text"),
        pytest.param(lambda file: (file.write_text("json://x/"), file.chmod(0o644)), "others can read", id="open"),
    ],
)
def test_a_file_of_an_address_that_cannot_be_used_is_a_fault(tmp_path: Path, make: object, words: str) -> None:
    make(tmp_path / "hook")  # type: ignore[operator]
    loaded = read_notifications(write(tmp_path, "site: {admins: {url_file: hook}}\n"))
    (fault,) = loaded.faults
    assert words in str(fault)
    assert "site.admins.url_file" in str(fault)
    assert loaded.settings is None


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"site: [{SECRET}]", id="a list"),
        pytest.param(f"site: {{admins: {SECRET}}}", id="not a channel"),
        pytest.param(f"site: {{admins: {{url: {SECRET}}}}}", id="not an address"),
        pytest.param(f"site: {{admins: {{url: [json://{SECRET}]}}}}", id="a list for an address"),
        pytest.param(f"language: {SECRET}", id="language"),
        pytest.param(f"somebody_waits_after_minutes: {SECRET}", id="number"),
        pytest.param(f"site: {{json://u:{SECRET}@h/: {{}}, a: 1}}", id="address as a name"),
        pytest.param(f"json://u:{SECRET}@h/: 1", id="address as a key"),
        pytest.param(f"site: {{a: {{url: json://x, json://{SECRET}: 1}}}}", id="address as a key of a channel"),
        pytest.param(f"site: {{a: {{url: 'json://{SECRET}/{{user}}'}}}}", id="a person in a channel"),
        pytest.param(f"site: {{a: {{url: 'nonsense://{SECRET}/'}}}}", id="unknown service"),
        pytest.param(f"site: {{a: {{url: 'json://{SECRET}/', kinds: [{SECRET}]}}}}", id="kind"),
        pytest.param(f"site:\n\t- json://{SECRET}", id="tab"),
        pytest.param(f"site: 'json://{SECRET}", id="quote"),
        pytest.param(f"site: &{SECRET} x\nb: *{SECRET}x", id="alias"),
    ],
)
def test_no_fault_repeats_what_the_file_says(tmp_path: Path, text: str) -> None:
    loaded = read_notifications(write(tmp_path, text), lambda address: not address.startswith("nonsense"))
    assert loaded.faults
    assert loaded.settings is None
    for fault in loaded.faults:
        assert SECRET not in str(fault)
        assert SECRET not in str(fault.to_dict())
        assert str(fault).startswith(f"{tmp_path}/notifications.yaml:")


def test_the_folder_may_have_it_and_decides_nothing_by_it(tmp_path: Path) -> None:
    write(tmp_path, "nonsense: true", 0o666)
    (tmp_path / "profiles.yaml").write_text(PROFILES)
    assert read_folder(tmp_path).faults == ()
    write(tmp_path, "", name="notification.yaml")
    (fault,) = read_folder(tmp_path).faults
    assert "notifications.yaml" in str(fault)


def test_it_may_be_elsewhere(tmp_path: Path) -> None:
    assert notifications_file(tmp_path, {}) == tmp_path / "notifications.yaml"
    assert notifications_file(tmp_path, {"MLABHUB_NOTIFICATIONS": "/run/secrets/n.yaml"}) == Path("/run/secrets/n.yaml")


def test_the_schema_has_it() -> None:
    assert "notifications.yaml" in folder_schema()["properties"]
