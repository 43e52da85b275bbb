"""Usage: adding it up as time goes by, and reports of it."""
