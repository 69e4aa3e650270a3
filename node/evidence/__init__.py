"""Collects what proves one call, from this node's journal, directory archive and agreements.

    parcels      the call's parcels, whole, and others of its link
    receipts     which later header acknowledges them, and the headers that lead there
    directories  the versions that headers name, and the newest, cut down to the members concerned
    agreements   the agreement with its signatures, the identity keys, and the call that offered it
    contents     the messages and private blocks that the journal kept
    export       puts an evidence file together
    tidy         removes the directory versions that no parcel names

It reads the home and never writes: while the node runs, and when it doesn't. It verifies nothing:
`security.evidence` does, from the file alone.
"""
