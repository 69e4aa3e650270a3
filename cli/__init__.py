"""The `simpul` command: one file per group of subcommands."""
