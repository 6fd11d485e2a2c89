"""Request handlers for monitors, results and history."""
