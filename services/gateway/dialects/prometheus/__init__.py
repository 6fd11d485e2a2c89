"""A dialect for Prometheus: GET /probe, as blackbox_exporter answers it."""
