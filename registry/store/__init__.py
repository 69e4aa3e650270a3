"""The registry's database, one module per group of tables.

The contract, whatever the database: a transaction is durable when its block ends, not before; one
that raises leaves nothing; two that write the same do not both succeed, and the second raises
CONFLICT or the code that its function names; what is missing is None from `find`, and the code that
`get` names. What may not go back is written by compare-and-swap, and the row count is looked at.

What a thief of the file has: the directory's content, which is public, and hashes of enrolment
secrets, which open nothing.
"""
