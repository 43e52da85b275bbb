"""What runs inside of a pod, by ``python3 -``: it looks what can be reached from there and prints it as JSON.

Standard library alone. A pod that a policy closes answers nothing, one without a policy refuses at once: either is
*not reached*. Names are asked of the pod's own resolver.
"""

from __future__ import annotations

import errno
import json
import resource
import select
import socket
import struct
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

TCP_SECONDS = 2.5
SCAN_SECONDS = 1.2
AT_ONCE = 6000
NAME_SECONDS = 4


def reach(host: str, port: int) -> bool:
    """Tell whether a TCP connection can be made."""
    try:
        socket.create_connection((host, port), timeout=TCP_SECONDS).close()
    except OSError:
        return False
    return True


def scan(host: str, first: int = 1) -> list[int]:
    """Return which TCP ports of an address answer, from the first on."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    step = min(AT_ONCE, most - 50)
    return [port for low in range(first, 65536, step) for port in _scan(host, range(low, min(low + step, 65536)))]


def _scan(host: str, ports: range) -> list[int]:
    poll, waiting, found = select.epoll(), {}, []
    for port in ports:
        one = socket.socket()
        one.setblocking(False)
        if one.connect_ex((host, port)) in (0, errno.EINPROGRESS):
            poll.register(one, select.EPOLLOUT)
            waiting[one.fileno()] = (one, port)
        else:
            one.close()
    until = time.monotonic() + SCAN_SECONDS
    while waiting and ((ready := poll.poll(max(0.0, until - time.monotonic()))) or time.monotonic() < until):
        for number, _ in ready:
            one, port = waiting.pop(number)
            poll.unregister(number)
            if one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0 and one.getsockname() != one.getpeername():
                found.append(port)
            one.close()
    for one, _ in waiting.values():
        one.close()
    return sorted(found)


def hear(host: str, port: int) -> bool:
    """Tell whether an echo comes back by UDP."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.settimeout(1)
        for _ in range(2):
            try:
                one.sendto(b"?", (host, port))
                return bool(one.recv(10))
            except OSError:
                continue
    return False


def resolve(name: str) -> bool:
    """Tell whether the pod's name server knows a name; asked in so many words, so that no search list plays a part."""
    with open("/etc/resolv.conf") as file:
        server = next(line.split()[1] for line in file if line.startswith("nameserver"))
    asked = b"".join(bytes([len(part)]) + part.encode() for part in name.rstrip(".").split("."))
    query = struct.pack(">6H", 4711, 0x100, 1, 0, 0, 0) + asked + b"\0" + struct.pack(">2H", 1, 1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.settimeout(NAME_SECONDS / 2)
        for _ in range(2):
            try:
                one.sendto(query, (server, 53))
                answer = one.recv(1500)
                return answer[3] & 15 == 0 and struct.unpack(">H", answer[6:8])[0] > 0
            except OSError:
                continue
    return False


def look(wanted: dict[str, list[Any]]) -> dict[str, Any]:
    """Answer each question: ``[reach, host, port]`` and so on."""
    known: dict[str, Callable[..., Any]] = {"reach": reach, "scan": scan, "hear": hear, "resolve": resolve}
    with ThreadPoolExecutor(20) as pool:
        asked = {name: pool.submit(known[what], *rest) for name, (what, *rest) in wanted.items()}
        return {name: one.result() for name, one in asked.items()}


if __name__ == "__main__":
    print(json.dumps(look(json.loads(sys.argv[1]))))
