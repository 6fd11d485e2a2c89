"""Kind `http`: one web request, judged by its answer."""
