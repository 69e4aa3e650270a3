"""Agreements as their operators and partners handle them: made, decided, revoked, brought round.

`drafts` makes terms of what an operator says; `own` is what operators do, `received` what partners'
nodes ask; `telling` brings each step to the nodes that must know of it; `settling` asks the others
what this node has missed. What an agreement permits is `node.policy`'s to say.
"""
