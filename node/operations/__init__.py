"""What operators and peers can have a node do, one file for each subject. Run by the supervisor."""
