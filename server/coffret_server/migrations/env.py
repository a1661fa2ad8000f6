"""Alembic's entry: the connection is handed in by `coffret_server.migrations.upgrade`."""

from alembic import context

from coffret_server.schema import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
