"""Measurements that a person starts: they print figures, and judge nothing."""
