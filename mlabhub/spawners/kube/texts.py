"""The cluster's own texts, made fit to be shown.

Guarantees: pure, whatever is given; one line of printable characters, of bounded length.
"""

from __future__ import annotations

import re

MOST = 300
_LONGEST_READ = 4000
_NOISE = (
    re.compile(r"^(?:rpc error: code = \w+ desc = )+"),
    re.compile(r"^(?:failed to create containerd task: |failed to create shim task: |OCI runtime create failed: )+"),
    re.compile(r"^(?:runc create failed: |unable to start container process: |error during container init: )+"),
    re.compile(r"^failed to pull and unpack image \"[^\"]*\": "),
    re.compile(r"^failed to resolve reference \"[^\"]*\": "),
    re.compile(r"^failed to do request: "),
    re.compile(r'^(?:Head|Get) "[^"]*": '),
    re.compile(r"(?:read|write) (?:udp|tcp) \S+->\S+: "),
    re.compile(r"^mount failed: exit status \d+ Mounting command: \S+ Mounting arguments: .*? Output: "),
)
_KUBELET_PATH = re.compile(r"/var/lib/kubelet/\S*?(?=[:\s]|$)")


def clean(text: object, most: int = MOST) -> str:
    """Return one line of what the cluster wrote, without control characters, cut to ``most`` characters."""
    whole = str(text or "")[:_LONGEST_READ]
    line = "".join(one if one.isprintable() else " " for one in whole)
    line = " ".join(line.split())
    return line if len(line) <= most else line[: most - 1] + "…"


def gist(text: object, most: int = MOST) -> str:
    """Return what a message comes down to: without the layers that it was handed through, and the kubelet's paths."""
    line = clean(text, _LONGEST_READ)
    before = ""
    while before != line:
        before = line
        for noise in _NOISE:
            line = noise.sub("", line, count=1)
    line = _KUBELET_PATH.sub("…", line)
    return clean(line.removesuffix(": unknown").strip(" ."), most)


def last_lines(text: object, lines: int = 10, most: int = 1200) -> str:
    """Return the end of a log, its lines kept apart, for what is shown as last words."""
    whole = str(text or "")[-4 * most :]
    kept = [clean(line, most) for line in whole.splitlines()]
    end = "\n".join([line for line in kept if line][-lines:])
    return end if len(end) <= most else "…" + end[-most + 1 :]
