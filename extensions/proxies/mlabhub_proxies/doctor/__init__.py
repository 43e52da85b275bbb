"""The doctor of one server: whether it is reached as its tools need it, and what mends it where not.

A client (the page's script, or `mlabhub doctor SERVER`) tries what a browser does: a websocket, an event stream, an
upload, a service worker. It sends what it saw; the server adds how that request arrived and what it knows of itself,
and words the findings, in one place and in the reader's language.
"""
