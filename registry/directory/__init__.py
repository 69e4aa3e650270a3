"""The directory: a TUF repository in a folder, served over HTTP and pushed to watchers."""
