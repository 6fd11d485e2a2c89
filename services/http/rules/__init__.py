"""Rules on the response: statuses, headers, body and JSON."""
