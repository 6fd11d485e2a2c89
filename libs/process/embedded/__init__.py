"""The two real servers that `vedette up` brings with it, each in a process of its own that never outlives ours."""
