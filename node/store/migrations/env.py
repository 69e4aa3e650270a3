"""Runs migrations on the connection that `node.store.engine` hands over."""

from alembic import context

from node.store.models import Table

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Table.metadata,
    render_as_batch=True,
)
# The transaction is the caller's: all migrations are applied, or none.
context.run_migrations()
