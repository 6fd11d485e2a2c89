"""Access control: authentication, rate limits and concurrency limits."""
