"""The loop that all kinds share: take a check, run it under its deadline, stamp the outcome, publish it."""
