"""Take migrations of a database back, so that a test can carry them out on what was before."""

from alembic import command
from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import create_async_engine

from coffret_server import migrations


async def go_back(database: str, revision: str) -> None:
    """Make the tables what they were at a revision."""
    address = database.replace("sqlite:", "sqlite+aiosqlite:").replace("ql:", "ql+asyncpg:")
    engine = create_async_engine(address)

    def back(connection: Connection) -> None:
        config = migrations._config()
        config.attributes["connection"] = connection
        command.downgrade(config, revision)

    async with engine.begin() as connection:
        await connection.run_sync(back)
    await engine.dispose()
