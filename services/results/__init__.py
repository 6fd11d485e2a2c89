"""The only service with Postgres: takes in results, folds them into states, keeps schedules, answers requests."""
