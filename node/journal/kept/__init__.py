"""What a journal holds of calls' contents, and how it is destroyed.

Payloads and private blocks as agreements say (`rows` writes them, `reader` opens them), persons by
keyed hashes, erasures with what must be told of them (`store`). The formats are pure, in
security.kept and security.persons.
"""
