"""What users' servers may reach on this machine and in each other's networks, as one nftables table.

Guarantees: from our networks only the public proxy's port and DNS on this machine answer; nothing that is routed can
open a connection into a user's network, so users do not reach each other and neighbours on the lab's network reach no
one; link-local addresses, where clouds serve their secrets, are cut off. The table is this installation's own, replaced
as a whole, and nothing else of the machine's firewall is touched.
"""

from __future__ import annotations

import shutil
import subprocess

from mlabhub.engine.networks import interface_prefix
from mlabhub.errors import MLabError
from mlabhub.messages import N_, Message


class FirewallUnavailable(MLabError):
    """nftables cannot be used here."""

    code = "firewall_unavailable"


def table_name(instance: str) -> str:
    """Return the name of this installation's table."""
    return f"mlabhub_{instance}"


def make_ruleset(instance: str, port: int) -> str:
    """Return the table as a script for ``nft -f``: it replaces the one that may be there, in one transaction."""
    table, ours = table_name(instance), f'"{interface_prefix(instance)}*"'
    return f"""\
add table inet {table}
delete table inet {table}
table inet {table} {{
  chain input {{
    type filter hook input priority filter - 5; policy accept;
    iifname != {ours} accept
    ct state established,related accept
    fib daddr type local tcp dport {{ {port}, 53 }} accept
    fib daddr type local udp dport 53 accept
    icmp type echo-request limit rate 10/second accept
    icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit }} accept
    counter drop
  }}
  chain forward {{
    type filter hook forward priority filter - 5; policy accept;
    oifname {ours} ct state established,related accept
    oifname {ours} counter drop
    iifname {ours} ip daddr 169.254.0.0/16 counter drop
    iifname {ours} ip6 daddr fe80::/10 counter drop
  }}
}}
"""


def apply_firewall(instance: str, port: int) -> None:
    """Put the table in place. Raises `FirewallUnavailable` with the reason if that cannot be."""
    _nft(make_ruleset(instance, port))


def remove_firewall(instance: str) -> None:
    """Take the table away; fine if it is not there."""
    table = table_name(instance)
    _nft(f"add table inet {table}\ndelete table inet {table}\n")


def has_firewall(instance: str) -> bool:
    """Return whether the table is in place."""
    program = _find_nft()
    if program is None:
        return False
    listed = subprocess.run([program, "list", "table", "inet", table_name(instance)], capture_output=True, check=False)
    return listed.returncode == 0


def _nft(script: str) -> None:
    program = _find_nft()
    if program is None:
        raise FirewallUnavailable(N_("nftables is not installed. Install it: `apt-get install nftables`."))
    done = subprocess.run([program, "-f", "-"], input=script, capture_output=True, text=True, timeout=30, check=False)
    if done.returncode != 0:
        detail = done.stderr.strip().splitlines()
        raise FirewallUnavailable(
            Message.of(
                N_("The firewall that keeps users' servers apart from this machine cannot be set: {detail}."),
                detail=(detail[0] if detail else f"nft ended with {done.returncode}").rstrip("."),
            ),
            log_text=done.stderr.strip(),
        )


def _find_nft() -> str | None:
    return shutil.which("nft") or shutil.which("nft", path="/usr/sbin:/sbin")
