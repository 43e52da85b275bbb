"""What runs in a probe: answer at a port, try some addresses, and print what came of it as one line of JSON.

It runs by the Python of an image, outside of this package.
"""

import json
import os
import socket
import sys
import threading
import time

PORT = 8888


def reaches(host: str, port: int, seconds: float) -> str:
    """Return nothing if a connection comes about, else why not."""
    try:
        socket.create_connection((host, port), seconds).close()
    except TimeoutError:
        return "no answer"
    except OSError as error:
        return error.strerror or str(error)
    return ""


def answer() -> None:
    """Take every connection and close it."""
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(("", PORT))
    listening.listen(8)
    while True:
        listening.accept()[0].close()


def main() -> None:
    """Try the hub until it is reached, the API until it is not: rules follow a new pod after a moment."""
    hub, port, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    threading.Thread(target=answer, daemon=True).start()
    until = time.monotonic() + seconds
    told = {"hub": "no answer", "api": ""}
    while time.monotonic() < until and (told["hub"] or not told["api"]):
        told["hub"] = told["hub"] and reaches(hub, port, 2)
        api = os.environ.get("KUBERNETES_SERVICE_HOST", ""), int(os.environ.get("KUBERNETES_SERVICE_PORT", "443"))
        told["api"] = reaches(*api, 1)
        time.sleep(0.2)
    print(json.dumps(told), flush=True)
    time.sleep(60)


if __name__ == "__main__":
    main()
