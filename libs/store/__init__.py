"""The only room that knows Postgres: numbered migrations, named queries, one typed function each."""
