"""PostgreSQL: numbered migrations and named queries, one typed function each. The only package that imports asyncpg."""
