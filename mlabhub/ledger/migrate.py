"""Bring a ledger's file to this version's schema, by the Alembic migrations inside the package."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from mlabhub.errors import InvalidConfiguration
from mlabhub.messages import N_, Message


def migrate(engine: sa.Engine) -> None:
    """Run the migrations that the file lacks, in one transaction each; none when it is up to date."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    scripts = ScriptDirectory.from_config(config)
    with engine.connect() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
        if current == scripts.get_current_head():
            return
        if current is not None and current not in {script.revision for script in scripts.walk_revisions()}:
            raise InvalidConfiguration(
                Message.of(
                    N_("The ledger was written by a newer version of mlabhub (schema {revision}). Install that one."),
                    revision=current,
                )
            )
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
