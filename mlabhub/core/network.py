"""What a server may reach outside, as a profile says it.

``open``: everything but the site's own inner addresses; ``lab``: registry, git, mirrors and proxy of the site;
``closed``: the hub, and the airlock that alone reaches outside.
"""

from __future__ import annotations

from typing import Literal

Egress = Literal["open", "lab", "closed"]
DEFAULT_EGRESS: Egress = "lab"
