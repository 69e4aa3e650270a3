"""Who may call what: pure decisions on what the supervisor hands over.

    apps     which app calls, and for which subsystem of this node's members
    rules    which agreement permits a call

Both look things up in books that are built once and never change.
"""
