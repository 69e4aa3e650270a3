"""Run by Alembic: migrates over the connection that it is handed."""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    # SQLite can't alter a table in place: Alembic makes a new one and copies.
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
