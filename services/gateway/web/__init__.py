"""HTTP components shared by all APIs."""
