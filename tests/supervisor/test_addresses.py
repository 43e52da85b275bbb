"""The address that people are told: what is taken, and what is refused before anything is started."""

from __future__ import annotations

import pytest

from mlabhub.errors import InvalidConfiguration
from mlabhub.supervisor.addresses import check_public_url, find_address, make_base_url, make_own_url


@pytest.mark.parametrize("wanted", ["", "/", "//"])
def test_no_prefix(wanted: str) -> None:
    assert make_base_url(wanted) == "/"


@pytest.mark.parametrize("wanted", ["lab", "/lab", "lab/", "/lab/", "//lab//"])
def test_a_prefix(wanted: str) -> None:
    assert make_base_url(wanted) == "/lab/"


@pytest.mark.parametrize(
    ("wanted", "base_url", "taken"),
    [
        ("https://lab.example.org", "/", "https://lab.example.org/"),
        ("https://lab.example.org/", "/", "https://lab.example.org/"),
        ("http://lab.example.org:8080/lab", "/lab/", "http://lab.example.org:8080/lab/"),
        ("https://[2001:db8::1]:8443/", "/", "https://[2001:db8::1]:8443/"),
    ],
)
def test_a_public_address(wanted: str, base_url: str, taken: str) -> None:
    assert check_public_url(wanted, base_url) == taken


@pytest.mark.parametrize(
    "wanted",
    [
        "lab.example.org",
        "ftp://lab.example.org/",
        "https://",
        "https:///lab/",
        "https://lab.example.org:99999/",
        "https://lab.example.org:port/",
        "https://lab.example.org/?x=1",
        "https://lab.example.org/#x",
        "https://me:secret@lab.example.org/",
        "https://[::1/",
        "https://lab.example.org/\u202e",
        "javascript:alert(1)",
    ],
)
def test_what_is_no_address(wanted: str) -> None:
    with pytest.raises(InvalidConfiguration, match="no address of a hub"):
        check_public_url(wanted, "/")


@pytest.mark.parametrize(("wanted", "base_url"), [("https://lab.test/lab/", "/"), ("https://lab.test/", "/lab/")])
def test_another_path_than_the_hub_has(wanted: str, base_url: str) -> None:
    with pytest.raises(InvalidConfiguration, match="must be the same"):
        check_public_url(wanted, base_url)


@pytest.mark.parametrize(
    ("name", "host", "url"),
    [
        ("", "", "http://localhost:8000/"),
        ("", "127.0.0.1", "http://localhost:8000/"),
        ("", "10.1.2.3", "http://10.1.2.3:8000/"),
        ("", "2001:db8::1", "http://[2001:db8::1]:8000/"),
        ("lab.test", "10.1.2.3", "http://lab.test:8000/"),
    ],
)
def test_the_hubs_own_address(name: str, host: str, url: str) -> None:
    assert make_own_url("http", name, host, 8000, "/") == url


def test_an_address_that_this_machine_cannot_find() -> None:
    assert find_address("0.0.0.0") == find_address("") == find_address("*") == ""
    with pytest.raises(InvalidConfiguration, match="no address of this machine"):
        find_address("not a name")
