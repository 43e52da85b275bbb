"""HTTP handlers of the API, each a few lines: read the request, ask, answer."""
