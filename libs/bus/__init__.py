"""The only room that knows NATS: subjects, streams, schedules, request-reply."""
