"""Bring a ledger to this version's schema, by the Alembic migrations inside the package.

Guarantees: a migration that fails leaves the ledger as it was; a ledger of a newer version is refused.
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from mlabhub.errors import InvalidConfiguration
from mlabhub.messages import N_, Message

SCRIPTS = Path(__file__).parent / "migrations"


def migrate(engine: sa.Engine | sa.Connection, scripts: Path = SCRIPTS) -> None:
    """Run the migrations that the ledger lacks, all in one transaction; none when it is up to date.

    Raises `InvalidConfiguration` for a newer schema.
    """
    if isinstance(engine, sa.Engine):
        with engine.connect() as connection:
            return migrate(connection, scripts)
    config = make_config(engine, scripts)
    with engine.begin():
        if engine.dialect.name == "postgresql":
            engine.exec_driver_sql("SET LOCAL statement_timeout = 0")
        current = MigrationContext.configure(engine).get_current_revision()
        if current not in (None, *known_revisions(scripts)):
            raise newer(str(current))
        if current != ScriptDirectory.from_config(config).get_current_head():
            command.upgrade(config, "head")
    return None


def make_config(connection: sa.Connection, scripts: Path = SCRIPTS) -> Config:
    """Return Alembic's configuration for a connection that is in a transaction."""
    config = Config()
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def known_revisions(scripts: Path = SCRIPTS) -> tuple[str, ...]:
    """Return the schemas that this version knows, oldest first."""
    return tuple(one.revision for one in ScriptDirectory(str(scripts)).walk_revisions())[::-1]


def newer(revision: str) -> InvalidConfiguration:
    """Return the refusal of a ledger that a newer version wrote."""
    return InvalidConfiguration(
        Message.of(
            N_("The ledger was written by a newer version of mlabhub (schema {revision}). Install that one."),
            revision=revision,
        )
    )
