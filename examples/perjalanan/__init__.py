"""The trip planner: one question to many regions."""
