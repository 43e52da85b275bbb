"""What is decided once stays, whatever interrupts the first run."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from mlabhub.errors import InvalidConfiguration
from mlabhub.supervisor import first_run


def test_password_is_made_once_and_private(tmp_path: Path) -> None:
    first, made = first_run.make_first_run(tmp_path, "http://a/", "admin")
    again, made_again = first_run.make_first_run(tmp_path, "http://b/", "other")
    assert (made, made_again) == (True, False)
    assert again == {"url": "http://b/", "admin": "admin", "password": first["password"]}
    assert len(first["password"]) >= 20
    assert (tmp_path / "first-run.json").stat().st_mode & 0o777 == 0o600


def test_secrets_differ_stay_and_are_private(tmp_path: Path) -> None:
    first_run.make_private_folders(tmp_path / "secrets")
    first_run.make_secrets(tmp_path / "secrets")
    before = {file.name: file.read_text() for file in (tmp_path / "secrets").iterdir()}
    first_run.make_secrets(tmp_path / "secrets")
    after = {file.name: file.read_text() for file in (tmp_path / "secrets").iterdir()}
    assert before == after
    assert len(set(before.values())) == len(before) == len(first_run.SECRETS) + 1
    assert all((tmp_path / "secrets" / name).stat().st_mode & 0o777 == 0o600 for name in before)
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700


def test_one_lock_per_folder(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    held = first_run.StateLock(tmp_path)
    with pytest.raises(first_run.AlreadyRunning, match=rf"process {os.getpid()}"):
        first_run.StateLock(tmp_path)
    held.close()
    first_run.StateLock(tmp_path).close()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"hub": "x"}', '{"hub": 99999999}', "null"])
def test_damaged_ports_are_chosen_anew(tmp_path: Path, text: str) -> None:
    (tmp_path / "ports.json").write_text(text)
    ports = first_run.choose_ports(tmp_path, [8000])
    assert set(ports) == set(first_run.INNER_PORTS)
    assert len(set(ports.values()) - {8000}) == 3
    assert first_run.choose_ports(tmp_path, [8000]) == ports


def test_a_taken_inner_port_is_replaced_the_others_stay(tmp_path: Path) -> None:
    before = first_run.choose_ports(tmp_path, [])
    with socket.socket() as other:
        other.bind(("127.0.0.1", before["hub"]))
        other.listen()
        after = first_run.choose_ports(tmp_path, [])
    assert after["hub"] != before["hub"]
    assert {**after, "hub": 0} == {**before, "hub": 0}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"url": "x"}'])
def test_a_damaged_first_run_file_is_a_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "first-run.json").write_text(text)
    with pytest.raises(InvalidConfiguration, match=r"first-run\.json is damaged"):
        first_run.make_first_run(tmp_path, "http://a/", "admin")
