"""Loopback targets for probes: good ones, broken ones and hostile ones."""
