-- What a tenant may have and how often it may ask; NULL means what the settings say. Numbers are for dialects whose
-- clients expect integers.
ALTER TABLE tenants
    ADD COLUMN number bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    ADD COLUMN requests_per_s double precision,
    ADD COLUMN requests_burst integer,
    ADD COLUMN monitors_max integer,
    ADD COLUMN interval_s_min integer;

-- Whoever refers to a tenant keeps its whole unique columns from changing, unless the index is a partial one. A create
-- that then counts within a quota and a new name of the tenant would wait for each other.
ALTER TABLE tenants DROP CONSTRAINT tenants_name_key;
CREATE UNIQUE INDEX tenants_name ON tenants (name) WHERE name IS NOT NULL;

ALTER TABLE keys
    ADD COLUMN number bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    ADD COLUMN requests_per_s double precision,
    ADD COLUMN requests_burst integer;

-- Whoever administered the first tenant had made the installation.
UPDATE keys SET scopes = array_append(scopes, 'operator')
WHERE tenant_id = (SELECT id FROM tenants ORDER BY created_at, id LIMIT 1)
  AND 'admin' = ANY(scopes) AND revoked_at IS NULL
  AND NOT EXISTS (SELECT FROM keys WHERE 'operator' = ANY(scopes));

-- Token buckets of keys and tenants, shared by all gateways. After a crash of PostgreSQL they are empty tables, that
-- is, full buckets: nothing here is worth a disk write.
CREATE UNLOGGED TABLE buckets (
    id     uuid PRIMARY KEY,                   -- of a key or a tenant
    tokens double precision NOT NULL,
    at     timestamptz NOT NULL                -- when `tokens` was right
) WITH (fillfactor = 50);

-- Who did what, written in the transaction that does it.
CREATE TABLE audit (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id   uuid NOT NULL REFERENCES tenants,
    at          timestamptz NOT NULL,
    action      text NOT NULL,
    object_id   text NOT NULL,
    object_name text NOT NULL,
    changed     text[] NOT NULL,
    key_id      uuid,                          -- NULL: whoever operates the installation
    key_name    text NOT NULL,
    address     text NOT NULL,
    via         text NOT NULL
);
CREATE INDEX audit_tenant ON audit (tenant_id, id);
CREATE INDEX audit_at ON audit USING brin (at);

-- What a client of a dialect created under one number, and the monitors that it stands for.
CREATE TABLE assets (
    id         uuid PRIMARY KEY,
    tenant_id  uuid NOT NULL REFERENCES tenants,
    dialect    text NOT NULL,
    sort       text NOT NULL,
    number     bigint NOT NULL,
    identity   text NOT NULL,                  -- what makes two of them the same thing
    fields     json NOT NULL,                  -- in the dialect's own words
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    UNIQUE (tenant_id, dialect, sort, number),
    UNIQUE (tenant_id, dialect, sort, identity)
);

-- The last number that was given: none is given twice.
CREATE TABLE asset_numbers (
    tenant_id uuid NOT NULL REFERENCES tenants,
    dialect   text NOT NULL,
    sort      text NOT NULL,
    last      bigint NOT NULL,
    PRIMARY KEY (tenant_id, dialect, sort)
);

CREATE TABLE asset_parts (
    asset_id   uuid NOT NULL REFERENCES assets ON DELETE CASCADE,
    part       text NOT NULL,
    monitor_id uuid NOT NULL REFERENCES monitors ON DELETE CASCADE,
    PRIMARY KEY (asset_id, part)
);
CREATE UNIQUE INDEX asset_parts_monitor ON asset_parts (monitor_id);
