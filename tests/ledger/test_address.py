"""Addresses of a ledger in PostgreSQL, and where a password may come from."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlabhub.errors import InvalidConfiguration
from mlabhub.ledger import parse_address
from mlabhub.ledger.postgresql import CONNECTION, make_engine
from mlabhub.ledger.sqlite import check_disk, file_system

SECRET = "s3cret"


@pytest.mark.parametrize(
    ("text", "place"),
    {
        "postgresql://mlabhub@db.example.org/mlabhub": "db.example.org/mlabhub",
        "postgres://mlabhub@db:5433/hub?sslmode=verify-full": "db:5433/hub",
        "postgresql://mlabhub@/hub?host=/run/postgresql": "/run/postgresql/hub",
        "postgresql://mlabhub@/hub?host=a&host=b": "a,b/hub",
        "postgresql://mlabhub@[::1]/": "::1/mlabhub",
    }.items(),
)
def test_addresses(text: str, place: str) -> None:
    assert parse_address(text).place == place


@pytest.mark.parametrize(
    ("text", "match"),
    {
        f"postgresql://mlabhub:{SECRET}@db/hub": "has a password in it",
        f"postgresql://db/hub?password={SECRET}": "has a password in it",
        f"postgresql://db/hub?sslpassword={SECRET}": "has a password in it",
        f"mysql://mlabhub:{SECRET}@db/hub": "has a password in it",
        "mysql://db/hub": "only postgresql:// is known",
        "sqlite:////tmp/x": "only postgresql:// is known",
        "postgresql+asyncpg://db/hub": "only postgresql:// is known",
        "/var/lib/ledger": "is not a database.s address",
        "postgresql://db:port/hub": "is not a database.s address",
        "": "is not a database.s address",
    }.items(),
)
def test_no_addresses_of_ours(text: str, match: str) -> None:
    with pytest.raises(InvalidConfiguration, match=match) as caught:
        parse_address(text)
    assert SECRET not in f"{caught.value} {caught.value.log_text}"


def test_what_the_address_says_comes_before_our_own_choices() -> None:
    address = parse_address("postgresql://a@b/c?connect_timeout=60&options=-c%20search_path%3Dhub")
    engine = make_engine(address, "tests")
    _, arguments = engine.dialect.create_connect_args(engine.url)
    assert arguments["connect_timeout"] == "60"
    assert "options" not in arguments
    assert CONNECTION["target_session_attrs"] == "read-write"


def test_password_files(tmp_path: Path) -> None:
    file = tmp_path / "password"
    with pytest.raises(InvalidConfiguration, match="cannot be read"):
        parse_address("postgresql://a@b/c", file)
    file.write_text(f"{SECRET}\nsecond line")
    file.chmod(0o640)
    with pytest.raises(InvalidConfiguration, match=r"Others can read .* `chmod 600"):
        parse_address("postgresql://a@b/c", file)
    file.chmod(0o600)
    address = parse_address("postgresql://a@b/c", file)
    assert address.password() == SECRET
    assert SECRET not in f"{address!r} {address.place} {address.url}"
    file.write_text("\n")
    with pytest.raises(InvalidConfiguration, match="is empty"):
        parse_address("postgresql://a@b/c", file)
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidConfiguration, match="it is no text"):
        parse_address("postgresql://a@b/c", file)


MOUNTS = [("/", "ext4"), ("/srv", "nfs4"), ("/srv/local", "xfs"), ("/srv/twice", "nfs"), ("/srv/twice", "ext4")]


@pytest.mark.parametrize(
    ("folder", "kind"),
    {
        "/var/lib/x": "ext4",
        "/srv/x": "nfs4",
        "/srvx": "ext4",
        "/srv/local/x/y": "xfs",
        "/srv/twice": "ext4",
    }.items(),
)
def test_the_file_system_of_a_folder(folder: str, kind: str) -> None:
    assert file_system(Path(folder), MOUNTS) == kind


def test_this_machines_disk_is_fine(tmp_path: Path) -> None:
    check_disk(tmp_path)


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "fuse.sshfs"])
def test_a_ledger_on_a_networks_disk_is_refused(kind: str) -> None:
    with pytest.raises(InvalidConfiguration, match=f"network's disk .{kind}.*PostgreSQL with --ledger"):
        check_disk(Path("/srv/state"), [("/", "ext4"), ("/srv", kind)])
