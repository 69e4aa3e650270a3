"""A node's copy of the directory: fetched, verified, kept, loaded, watched.

    model    what a copy is
    floors   the lowest state that may follow
    rules    what may follow what: floors, clock, split views (pure)
    fetch    where bytes come from: HTTP, a pushed bundle, the local copy
    pack     a new node's first fetch: all files in one
    verify   one run of python-tuf's client, and what it leaves to its user
    folder   generations on the disk, swapped in one step
    archive  every version that parcels may name, for evidence
    replica  opens and renews the copy
    load     a generation as a `DirectoryView`, for workers
    watch    keeps the copy fresh

Its thief learns nothing that is not public. Whoever can write it can stop this node, and no more:
at each start every signature is verified anew, from the root that came with the enrolment.
"""
