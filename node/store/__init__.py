"""What a node remembers in `state.db`: agreements, pinned keys, apps, routes, numbers, floors.

All functions are synchronous, each one short transaction; the supervisor calls them through
`asyncio.to_thread`. When one returns, its change is on the disk.

Its thief learns with whom this node has agreements and which apps it knows; app tokens are stored
as hashes only, and no private key is here. Whoever can write it can open this node's data to an
app, and unpin partners: it is guarded by the home folder's mode, like the keys.
"""
