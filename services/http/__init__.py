"""Kind `http`: one web request with its redirects, and rules on the response."""
