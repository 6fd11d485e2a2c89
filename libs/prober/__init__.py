"""Prober shared by all kinds: consumes checks, runs the probe under a deadline, publishes results."""
