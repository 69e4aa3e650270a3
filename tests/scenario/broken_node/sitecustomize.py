"""A foreign node that breaks three rules of the standard, made of one that keeps them.

With this folder in PYTHONPATH every process of a node, its workers too, skips these checks: the
time of a parcel (the receiver's step 5), the seal (step 7), and the age of a greeting (step 7 of
the greeting's nine).
"""

from security import greeting, receiver_steps


def _skipped(*_: object, **__: object) -> None:
    """Look at nothing."""


receiver_steps.check_time = _skipped
receiver_steps.check_seal = _skipped
greeting._check_time = _skipped
