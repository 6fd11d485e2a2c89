"""Types and validation of the options of an http spec."""
