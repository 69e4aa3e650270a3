"""Comparing this node's record of the parcels with another node's, by digests of sets of hashes."""
