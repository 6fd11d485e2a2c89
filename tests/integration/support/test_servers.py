"""The servers that all other tests stand on."""

import asyncpg
import nats

from tests.support.servers import NatsServer, PostgresServer


async def test_a_killed_nats_server_comes_back_on_its_port_with_its_streams(nats_server: NatsServer) -> None:
    client = await nats.connect(nats_server.url)
    await client.jetstream().add_stream(name="S", subjects=["s"])
    await client.close()
    nats_server.kill()
    nats_server.start()
    client = await nats.connect(nats_server.url)
    assert (await client.jetstream().stream_info("S")).config.name == "S"
    await client.close()


async def test_a_killed_postgres_comes_back_on_its_port_with_its_rows(own_postgres_server: PostgresServer) -> None:
    dsn = own_postgres_server.new_database()
    connection = await asyncpg.connect(dsn)
    await connection.execute("CREATE TABLE t AS SELECT 1 AS n")
    own_postgres_server.kill()
    own_postgres_server.start()
    connection = await asyncpg.connect(dsn)
    assert await connection.fetchval("SELECT n FROM t") == 1
    await connection.close()


async def test_each_test_has_an_empty_database(postgres_dsn: str) -> None:
    connection = await asyncpg.connect(postgres_dsn)
    assert await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0
    await connection.close()
