"""Kind `port`: says whether something listens on a TCP port."""
