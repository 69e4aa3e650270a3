"""Words of names and comments, comparable across Indonesian and English. Pure."""
