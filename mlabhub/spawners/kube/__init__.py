"""Users' servers as pods of a cluster."""
