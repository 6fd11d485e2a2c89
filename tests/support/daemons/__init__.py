"""Daemons of Debian, each started by a test on loopback, with its log kept for what it says of us."""
