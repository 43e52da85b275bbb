"""Start users' servers: one gate for every way that leads to a start, and a short class per backend.

Guarantees: nothing starts without a reservation; what starts is the service's plan and nothing that a request said.
"""
