"""``python -m mlabhub.supervisor.hub``: JupyterHub, without one import that costs more than all others together.

jsonschema looks for optional packages that check formats. One of them, rfc3987_syntax, builds a grammar when it is
imported: 1.3 of the hub's 2.3 seconds of CPU at start, for the format ``iri``, which no schema of the hub has. Marked
as absent, it is skipped in the way jsonschema means it to be.
"""

import sys

sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]  # None: importing it raises ImportError

from jupyterhub.app import main  # noqa: E402

if __name__ == "__main__":
    main()  # type: ignore[no-untyped-call]
