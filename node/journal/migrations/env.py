"""Runs migrations on the connection that `node.journal.schema` hands over."""

from alembic import context

from node.journal.tables import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    render_as_batch=True,
)
# The transaction is the caller's: all migrations are applied, or none.
context.run_migrations()
