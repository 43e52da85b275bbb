"""The firewall's text, and that it comes and goes as a whole."""

from __future__ import annotations

import subprocess

import pytest

from mlabhub.engine import firewall
from mlabhub.engine.firewall import FirewallUnavailable, apply_firewall, has_firewall, make_ruleset, remove_firewall

RULESET = """\
add table inet mlabhub_0123abcd
delete table inet mlabhub_0123abcd
table inet mlabhub_0123abcd {
  chain input {
    type filter hook input priority filter - 5; policy accept;
    iifname != "mlab0123a*" jump outside
    ct state established,related accept
    fib daddr type local tcp dport { 8000, 53 } accept
    fib daddr type local udp dport 53 accept
    icmp type echo-request limit rate 10/second accept
    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit } accept
    counter drop
  }
  chain outside {
    accept
  }
  chain forward {
    type filter hook forward priority filter - 5; policy accept;
    oifname "mlab0123a*" ct state established,related accept
    oifname "mlab0123a*" counter drop
    iifname "mlab0123a*" ip daddr 169.254.0.0/16 counter drop
    iifname "mlab0123a*" ip6 daddr fe80::/10 counter drop
    iifname "mlab0123a*" oifname "podman*" counter drop
    iifname "mlab0123a*" oifname "docker*" counter drop
    iifname "mlab0123a*" oifname "br-*" counter drop
    iifname "mlab0123a*" oifname "cni*" counter drop
    iifname "mlab0123a*" oifname "virbr*" counter drop
  }
}
"""


def test_the_ruleset() -> None:
    assert make_ruleset("0123abcd", 8000) == RULESET


@pytest.mark.parametrize(
    ("host", "rules"),
    [
        ("10.0.0.5", ["ip daddr != 10.0.0.5 tcp dport 8000 counter drop", "meta nfproto ipv6 tcp dport 8000 drop"]),
        ("::1", ["ip6 daddr != ::1 tcp dport 8000 counter drop", "meta nfproto ipv4 tcp dport 8000 drop"]),
    ],
)
def test_one_address_only(host: str, rules: list[str]) -> None:
    closed = "".join(f"    {rule}\n" for rule in rules)
    assert make_ruleset("0123abcd", 8000, host) == RULESET.replace("    accept\n  }\n", f"{closed}    accept\n  }}\n")


@pytest.mark.engine
def test_it_is_replaced_as_a_whole_and_removed() -> None:
    try:
        apply_firewall("0123abcd", 8000)
        apply_firewall("0123abcd", 8500, "::1")
        apply_firewall("0123abcd", 9000, "127.0.0.1")
        listed = subprocess.run(
            ["nft", "list", "table", "inet", "mlabhub_0123abcd"], capture_output=True, text=True, check=True
        )
        assert "9000" in listed.stdout
        assert "8000" not in listed.stdout
    finally:
        remove_firewall("0123abcd")
    assert not has_firewall("0123abcd")
    remove_firewall("0123abcd")


@pytest.mark.engine
def test_a_fault_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FirewallUnavailable, match="cannot be set"):
        apply_firewall('broken" name', 8000)
    monkeypatch.setattr(firewall, "_find_nft", lambda: None)
    with pytest.raises(FirewallUnavailable, match="apt-get install nftables"):
        apply_firewall("0123abcd", 8000)
