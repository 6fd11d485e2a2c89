"""Monitors, their schedules and assets."""
