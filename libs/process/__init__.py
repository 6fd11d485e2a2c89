"""What every process needs around its services: settings, logs, signals, health, metrics and the servers of `up`."""
