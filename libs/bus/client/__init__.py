"""NATS client: publishing, pull consumers, bounded subscriptions."""
