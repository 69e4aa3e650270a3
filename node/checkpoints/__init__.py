"""Checkpoints of this node's journals: signed, witnessed and time-stamped. The supervisor's side.

    rules        whether a tree continues what was signed; who must answer; when time is overdue
    latest       the newest checkpoint of each slot, outside the journal's database
    witnesses    the HTTP client of witnesses
    authorities  the HTTP client of time-stamp authorities
    signing      a checkpoint of each slot that grew; the question before the first one
    cosigning    cosignatures for the newest
    stamping     time stamps for the newest
    keeper       the threads that do these, and what they tell the node
    watch        metrics

What a node can't have (a witness or an authority that is down) delays evidence, never traffic,
unless the federation says so for time. What must not be (a journal that isn't the one whose
checkpoints were signed) stops new calls.
"""
