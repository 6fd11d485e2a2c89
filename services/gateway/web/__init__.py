"""HTTP building blocks that all APIs share."""
