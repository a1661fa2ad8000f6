"""The history of the tables, run by Alembic from inside the package."""

from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.engine import Connection


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.set_main_option("path_separator", "os")
    return config


@cache
def newest_revision() -> str | None:
    """The revision that this version of the server works with."""
    return ScriptDirectory.from_config(_config()).get_current_head()


def current_revision(connection: Connection) -> str | None:
    """The revision of a database, or None for an empty one."""
    return MigrationContext.configure(connection).get_current_revision()


def is_known(revision: str) -> bool:
    """Whether this version of the server knows these tables."""
    scripts = ScriptDirectory.from_config(_config())
    return any(script.revision == revision for script in scripts.walk_revisions())


def upgrade(connection: Connection) -> None:
    """Bring a database to the newest revision."""
    if current_revision(connection) == newest_revision():
        return
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
