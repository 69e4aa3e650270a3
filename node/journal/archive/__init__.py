"""Archives of a journal: what is taken out of it, kept elsewhere, and proves itself."""
