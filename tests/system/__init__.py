"""Whole systems as operating system processes, killed on purpose."""
