"""Results service: the only one with PostgreSQL. Stores results, derives states, publishes schedules, serves RPC."""
