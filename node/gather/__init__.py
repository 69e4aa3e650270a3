"""One call to many regions: which parts it has, how they are begun, and how they become one answer.

Each part is a call of its own, made by `node.exchange` like an app's; nothing here speaks to links.
"""
