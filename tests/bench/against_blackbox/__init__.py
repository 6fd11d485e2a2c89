"""Our http probe beside Prometheus' blackbox_exporter: the same targets, the same facts, CPU for each check."""
