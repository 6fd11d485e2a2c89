"""Hourly and daily rollups, and retention."""
