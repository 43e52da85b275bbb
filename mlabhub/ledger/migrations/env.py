"""Alembic runs this; the connection comes from `mlabhub.ledger.migrate`, which also holds the transaction."""

from alembic import context

from mlabhub.ledger.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, transactional_ddl=True)
context.run_migrations()
