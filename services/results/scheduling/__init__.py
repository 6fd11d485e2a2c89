"""Schedules, their reconciliation and missed ticks."""
