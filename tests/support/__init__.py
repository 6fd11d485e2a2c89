"""What tests stand on: real servers, real processes, loopback targets."""
