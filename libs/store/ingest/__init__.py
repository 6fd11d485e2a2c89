"""Results, states, incidents, gaps, partitions and rollups."""
