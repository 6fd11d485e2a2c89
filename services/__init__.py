"""Things that run: one folder, one process, one container. The folder is the registry."""
