"""What users' servers may reach on this machine and in each other's networks, as one nftables table.

Guarantees: from our networks only the public proxy's port and DNS on this machine answer; nothing that is routed can
open a connection into a user's network, so users do not reach each other and neighbours on the lab's network reach no
one; other containers and virtual machines of this machine are cut off, and so are link-local addresses, where clouds
serve their secrets. The table is this installation's own, replaced as a whole, and nothing else of the machine's
firewall is touched.
"""

from __future__ import annotations

import shutil
import subprocess

from mlabhub.engine.networks import interface_prefix
from mlabhub.errors import MLabError
from mlabhub.messages import N_, Message

_NFPROTO = {"ip": "ipv4", "ip6": "ipv6"}

OTHER_BRIDGES = ("podman", "docker", "br-", "cni", "virbr")
"""How the bridges of other containers and of virtual machines are called."""


class FirewallUnavailable(MLabError):
    """nftables cannot be used here."""

    code = "firewall_unavailable"


def table_name(instance: str) -> str:
    """Return the name of this installation's table."""
    return f"mlabhub_{instance}"


def make_ruleset(instance: str, port: int, host: str = "") -> str:
    """Return the table as a script for ``nft -f``: it replaces the one that may be there, in one transaction.

    With ``host``, an address of this machine, the public port answers there and to our networks only: the proxy has to
    listen on all addresses, for a network's own address comes and goes with its containers.
    """
    table, ours = table_name(instance), f'"{interface_prefix(instance)}*"'
    elsewhere = _elsewhere(host, port)
    others = "\n".join(f'    iifname {ours} oifname "{prefix}*" counter drop' for prefix in OTHER_BRIDGES)
    return f"""\
add table inet {table}
delete table inet {table}
table inet {table} {{
  chain input {{
    type filter hook input priority filter - 5; policy accept;
    iifname != {ours} jump outside
    ct state established,related accept
    fib daddr type local tcp dport {{ {port}, 53 }} accept
    fib daddr type local udp dport 53 accept
    icmp type echo-request limit rate 10/second accept
    icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit }} accept
    counter drop
  }}
  chain outside {{
{elsewhere}    accept
  }}
  chain forward {{
    type filter hook forward priority filter - 5; policy accept;
    oifname {ours} ct state established,related accept
    oifname {ours} counter drop
    iifname {ours} ip daddr 169.254.0.0/16 counter drop
    iifname {ours} ip6 daddr fe80::/10 counter drop
{others}
  }}
}}
"""


def _elsewhere(host: str, port: int) -> str:
    """Return the rules that close the public port on every address but ``host``."""
    if not host:
        return ""
    family = "ip6" if ":" in host else "ip"
    other = "ip" if family == "ip6" else "ip6"
    rules = (
        f"{family} daddr != {host} tcp dport {port} counter drop",
        f"meta nfproto {_NFPROTO[other]} tcp dport {port} drop",
    )
    return "".join(f"    {rule}\n" for rule in rules)


def apply_firewall(instance: str, port: int, host: str = "") -> None:
    """Put the table in place. Raises `FirewallUnavailable` with the reason if that cannot be."""
    _nft(make_ruleset(instance, port, host))


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
