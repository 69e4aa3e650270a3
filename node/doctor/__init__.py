"""What an operator asks first when something doesn't work: which part, why, and what mends it.

It looks from outside: at the home's files, at the running node as its status tells, and at each
address that the node needs, first whether it answers and then whether it is who it should be. It
changes nothing but a small file that it writes to time the disk, and takes away again.
"""
