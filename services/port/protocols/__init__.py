"""Protocol implementations, one module for each family of services."""
