"""What a program needs to run, and both programs share. docs/adr/0003 says why it exists."""
