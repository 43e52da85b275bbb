"""Give the GPUs back and keep the work: a server saves, ends, goes on without GPUs, and may have them again.

acts    what becomes of it; each a function of the projection
care    does what is due, from whatever state the ledger has
desk    asked by people, by agents inside servers, and by who judges what is idle
views   what people see of it
"""
