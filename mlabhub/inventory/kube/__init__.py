"""What a cluster has, and which servers run on it.

`reflector` keeps what the API server lists, in `records`; `nodes` and `servers` make of them, without asking anybody,
what the service wants to know; `backend` puts them together.
"""
