"""Additions to the NATS client: publisher, pull consumer, bounded subscription, flush, work-arounds."""
