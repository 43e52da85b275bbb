"""``python -m mlabhub.service --settings FILE``: run the service of one installation."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys

from mlabhub.errors import InvalidConfiguration, MLabError
from mlabhub.logs import make_formatter
from mlabhub.service.app import serve
from mlabhub.settings import load_settings


def main() -> int:
    """Run until a signal; return the exit code: 0 stopped, 1 it cannot run, 2 the configuration is wrong."""
    parser = argparse.ArgumentParser(prog="mlabhub.service", description="The mlabhub service of one installation.")
    parser.add_argument("--settings", help="the installation's settings file; default: MLABHUB_SETTINGS")
    parser.add_argument("--verbose", action="store_true", help="log every request")
    arguments = parser.parse_args()
    handler = logging.StreamHandler(sys.stderr)
    try:
        handler.setFormatter(make_formatter())
    except InvalidConfiguration as error:
        print(error, file=sys.stderr)
        return 2
    logging.basicConfig(level=logging.DEBUG if arguments.verbose else logging.INFO, handlers=[handler])
    for chatty in ("httpx", "httpcore", "tornado.access", "asyncio", "filelock", "alembic"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    # The hub's login logs every cookie that it sets, and warns of every page over plain HTTP.
    logging.getLogger("tornado.application").setLevel(logging.ERROR)
    try:
        asyncio.run(serve(load_settings(arguments.settings)))
    except InvalidConfiguration as error:
        print(error, file=sys.stderr)
        return 2
    except MLabError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
