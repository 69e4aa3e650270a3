"""What the doctors of nodes and of the registry share: findings, and looks at machine and network.

A doctor looks from outside: at a home's files, at the running program as its status tells, and at
each address that it needs. It changes nothing but a small file that it writes to time the disk, and
takes away again.
"""
