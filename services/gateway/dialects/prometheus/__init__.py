"""Prometheus API: GET /probe, compatible with blackbox_exporter."""
