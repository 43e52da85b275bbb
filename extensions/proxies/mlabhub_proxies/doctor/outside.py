"""How a server is reached, judged by what a client saw and by how its request arrived.

Guarantees: pure; what a client did not try has no finding. Each fix names what mends it in nginx, which most labs have
in front; `docs/how-to/behind-nginx.md` has the whole of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import SplitResult

from mlabhub_proxies.doctor.findings import Finding
from mlabhub_proxies.doctor.seen import PAGE, Answer, Received, Seen, Trials
from mlabhub_proxies.words import N_, Said

STREAM_SECONDS = 0.8
"""How long the events of a stream are apart when nothing holds them up: first to last."""
MOST_CLOCK_S = 60.0
DEFAULT_PORTS = {"http": 80, "https": 443}


def assess(seen: Seen, received: Received, trials: Trials) -> list[Finding]:
    """Return the findings about the way between a client and this server."""
    return [*_address(seen, received), *_lines(seen, trials), *_requests(seen)]


# The address ---------------------------------------------------------------------------------------------------


def _address(seen: Seen, received: Received) -> Iterator[Finding]:
    yield _secure_context(seen)
    yield _base_path(seen.address, received)
    yield _host(seen.address, received)
    yield _protocol(seen.address, received)


def _secure_context(seen: Seen) -> Finding:
    name = N_("Secure context")
    origin = f"{seen.address.scheme}://{seen.address.netloc}"
    if seen.secure:
        return Finding("secure-context", name, "ok", Said.of(N_("{origin} is one."), origin=origin))
    return Finding(
        "secure-context",
        name,
        "missing",
        Said.of(
            N_("{origin} is none: the clipboard and what VS Code shows in pages of its own do not work."),
            origin=origin,
        ),
        Said.of(
            N_("Use https (`mlabhub up --tls-cert`, or a web server in front), or http://localhost on this machine.")
        ),
    )


def _base_path(address: SplitResult, received: Received) -> Finding:
    name = N_("Base path")
    path = address.path.removesuffix(PAGE)
    if path == received.base_url:
        return Finding("base-path", name, "ok", Said.of(N_("{path} on both sides."), path=path))
    found = Said.of(
        N_("You asked for {path}, and the server was asked for {base_url}: a proxy on the way changes the path."),
        path=path,
        base_url=received.base_url,
    )
    if path.endswith(received.base_url):
        prefix = path.removesuffix(received.base_url) + "/"
        fix = Said.of(
            N_(
                "Start the hub with `--base-url {prefix}` and let the web server pass the path on as it is "
                "(nginx: no slash at the end of `proxy_pass http://127.0.0.1:8000;`)."
            ),
            prefix=prefix,
        )
    else:
        fix = Said.of(N_("Let the web server in front pass the path on as it is."))
    return Finding("base-path", name, "missing", found, fix)


def _host(address: SplitResult, received: Received) -> Finding:
    name = N_("Host name")
    wanted = _host_and_port(address.netloc, address.scheme)
    if _host_and_port(received.host, address.scheme) == wanted:
        return Finding("host", name, "ok", Said.of(N_("{host} on both sides."), host=address.netloc))
    return Finding(
        "host",
        name,
        "missing",
        Said.of(
            N_("You asked {wanted}, and the server was asked as {arrived}: it refuses websockets then."),
            wanted=address.netloc,
            arrived=received.host,
        ),
        Said.of(
            N_(
                "The web server in front must pass on the Host header with its port "
                "(nginx: `proxy_set_header Host $http_host;`)."
            )
        ),
    )


def _host_and_port(netloc: str, scheme: str) -> tuple[str, int]:
    host, _, port = netloc.rpartition(":")
    if not port.isdecimal():
        host, port = netloc, ""
    return host.lower(), int(port) if port else DEFAULT_PORTS[scheme]


def _protocol(address: SplitResult, received: Received) -> Finding:
    name = N_("Protocol")
    if received.protocol == address.scheme:
        return Finding("protocol", name, "ok", Said.of(N_("{protocol} on both sides."), protocol=address.scheme))
    return Finding(
        "protocol",
        name,
        "better" if address.scheme == "https" else "missing",
        Said.of(
            N_("You came by {wanted}, and the server was told {arrived}: logins are kept in the wrong way."),
            wanted=address.scheme,
            arrived=received.protocol,
        ),
        Said.of(
            N_(
                "The web server in front must say how it was asked "
                "(nginx: `proxy_set_header X-Forwarded-Proto $scheme;`)."
            )
        ),
    )


# Lines that stay open --------------------------------------------------------------------------------------------


def _lines(seen: Seen, trials: Trials) -> Iterator[Finding]:
    if seen.websocket is not None:
        yield _websocket(seen, seen.websocket, trials.get(seen.trial))
    if seen.stream is not None:
        yield _stream(*seen.stream)


NO_WEBSOCKETS = {
    "no_upgrade": (
        N_("A proxy on the way does not pass websockets on: notebooks and terminals cannot connect."),
        N_(
            "nginx: `proxy_http_version 1.1;`, `proxy_set_header Upgrade $http_upgrade;` and "
            "`proxy_set_header Connection $connection_upgrade;`."
        ),
    ),
    "origin": (
        N_("The server refused the websocket, since it was asked under another name than the page's."),
        N_("See Host name. A site of another name cannot open this server's websockets."),
    ),
    "opened": (
        N_("A websocket opened, and what it carried was lost on the way."),
        N_(
            "A proxy on the way looks into connections, or speaks HTTP/1.0 to the hub "
            "(nginx: `proxy_http_version 1.1;`)."
        ),
    ),
    "": (
        N_("No websocket reached the server."),
        N_("A proxy, a firewall or an add-on of the browser blocks websockets. Over https most let them pass."),
    ),
}


def _websocket(seen: Seen, answer: Answer, noted: str) -> Finding:
    name = N_("Websockets")
    if answer.ok:
        milliseconds = round(1000 * seen.seconds)
        return Finding("websockets", name, "ok", Said.of(N_("An echo took {ms} ms."), ms=milliseconds))
    found, fix = NO_WEBSOCKETS.get(noted, NO_WEBSOCKETS[""])
    return Finding("websockets", name, "missing", Said.of(found), Said.of(fix))


def _stream(first: float, last: float) -> Finding:
    name = N_("Event streams")
    if last - first >= STREAM_SECONDS / 2:
        return Finding("streams", name, "ok", Said.of(N_("They arrive piece by piece.")))
    return Finding(
        "streams",
        name,
        "better",
        Said.of(N_("They arrive all at once, at their end: a proxy on the way collects them. Progress is not seen.")),
        Said.of(N_("nginx: `proxy_buffering off;`, and no gzip for text/event-stream.")),
    )


# Single requests -------------------------------------------------------------------------------------------------


def _requests(seen: Seen) -> Iterator[Finding]:
    if seen.upload is not None:
        yield _upload(seen.upload)
    if seen.headers is not None:
        yield _headers(seen.headers)
    if seen.kept is not None:
        yield _kept(seen.kept)
    if seen.port is not None:
        yield _port(seen.port)
    if seen.worker is not None:
        yield _worker(seen.worker, seen.secure)
    if seen.clock is not None:
        yield _clock(seen.clock)


def _upload(answer: Answer) -> Finding:
    name = N_("Large uploads")
    if answer.ok:
        return Finding("upload", name, "ok", Said.of(N_("{size} pass."), size=answer.said))
    fix = N_("Allow larger bodies in the web server in front (nginx: `client_max_body_size 0;`).")
    if answer.status == 413:
        found = Said.of(N_("{size} are refused (HTTP 413), so files cannot be uploaded."), size=answer.said)
    else:
        found = Said.of(N_("{size} did not arrive ({how})."), size=answer.said, how=_how(answer))
    return Finding("upload", name, "missing", found, Said.of(fix))


def _headers(answer: Answer) -> Finding:
    name = N_("Large headers")
    if answer.ok:
        return Finding("headers", name, "ok", Said.of(N_("{size} pass."), size=answer.said))
    return Finding(
        "headers",
        name,
        "better",
        Said.of(
            N_("{size} are refused ({how}): who uses many servers cannot log in."), size=answer.said, how=_how(answer)
        ),
        Said.of(N_("nginx: `large_client_header_buffers 4 16k;`.")),
    )


def _kept(answer: Answer) -> Finding:
    name = N_("Unusual paths")
    if answer.ok:
        return Finding("paths", name, "ok", Said.of(N_("They arrive as they are sent.")))
    if answer.status == 200:
        found = Said.of(N_("They arrive changed, as {path}: some files cannot be opened."), path=answer.said)
    else:
        found = Said.of(N_("They do not arrive ({how}): some files cannot be opened."), how=_how(answer))
    fix = N_("Let the web server in front pass the path on as it is (nginx: `proxy_pass` without a path).")
    return Finding("paths", name, "better", found, Said.of(fix))


def _port(answer: Answer) -> Finding:
    name = N_("Ports of programs")
    if answer.ok:
        found = Said.of(N_("What listens on 127.0.0.1 is reached at {path}."), path="proxy/PORT/")
        return Finding("ports", name, "ok", found)
    return Finding(
        "ports",
        name,
        "missing",
        Said.of(
            N_("What listens on 127.0.0.1 is not reached at {path} ({how})."), path="proxy/PORT/", how=_how(answer)
        ),
        Said.of(N_("Have the proxies on the way pass on all that is below this server's path.")),
    )


def _worker(answer: Answer, secure: bool) -> Finding:
    name = N_("Service worker")
    if answer.ok:
        return Finding("service-worker", name, "ok", Said.of(N_("One can be had below this server's path.")))
    if not secure:
        found = Said.of(N_("Not tried: browsers allow them in a secure context only."))
        return Finding("service-worker", name, "info", found)
    return Finding(
        "service-worker",
        name,
        "missing",
        Said.of(N_("None could be had ({how}): VS Code shows no previews and extension pages."), how=_how(answer)),
        Said.of(
            N_(
                "Let .js files below this server's path pass unchanged, with their Content-Type; use a certificate "
                "that the browser trusts; leave private windows and blocking add-ons."
            )
        ),
    )


def _clock(ahead: float) -> Finding:
    name = N_("Clock")
    if abs(ahead) <= MOST_CLOCK_S:
        return Finding("clock", name, "ok", Said.of(N_("Both sides agree.")))
    found = Said.of(N_("Your clock and the server's are {seconds} seconds apart."), seconds=round(abs(ahead)))
    fix = N_("Set the one that is wrong by a time server (`timedatectl set-ntp true`).")
    return Finding("clock", name, "better", found, Said.of(fix))


def _how(answer: Answer) -> Said | str:
    if answer.status:
        return f"HTTP {answer.status}"
    return answer.said or Said.of(N_("no answer"))
