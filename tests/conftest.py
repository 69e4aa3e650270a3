"""What every test shares: hypothesis' settings, and nothing hidden."""

from hypothesis import settings

# No deadline for one example: on a busy machine it would say "slow" about the neighbour.
# Failing examples print as code that can be pasted into a test.
settings.register_profile("simpul", deadline=None, print_blob=True)
settings.load_profile("simpul")
