"""Process runtime of services: settings, logs, signals, health, metrics, HTTP server, embedded servers."""
