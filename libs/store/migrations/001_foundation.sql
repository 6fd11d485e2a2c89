-- Tenants and their keys. A key's secret is never stored, only its SHA-256.
CREATE TABLE tenants (
    id         uuid PRIMARY KEY,
    name       text NOT NULL UNIQUE,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE keys (
    id           uuid PRIMARY KEY,
    tenant_id    uuid NOT NULL REFERENCES tenants,
    name         text NOT NULL,
    sha256       bytea NOT NULL UNIQUE,
    scopes       text[] NOT NULL,
    cidrs        text[] NOT NULL DEFAULT '{}',
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz,
    last_used_at timestamptz,
    revoked_at   timestamptz
);
CREATE INDEX keys_tenant ON keys (tenant_id, id);

-- What a user wants watched. A deleted monitor stays as a tombstone until its last results are dropped.
CREATE TABLE monitors (
    id         uuid PRIMARY KEY,               -- UUIDv7: sorts by creation
    tenant_id  uuid NOT NULL REFERENCES tenants,
    kind       text NOT NULL,
    name       text NOT NULL,
    target     text NOT NULL,
    interval_s integer NOT NULL,
    timeout_s  double precision NOT NULL,
    locations  text[] NOT NULL,
    enabled    boolean NOT NULL,
    labels     jsonb NOT NULL,
    spec       json NOT NULL,                  -- json, not jsonb: kept as it was written, in its order
    revision   integer NOT NULL DEFAULT 1,     -- grows with whatever alters checking
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    deleted_at timestamptz
);
CREATE INDEX monitors_tenant ON monitors (tenant_id, id) INCLUDE (name) WHERE deleted_at IS NULL;
CREATE INDEX monitors_labels ON monitors USING gin (labels jsonb_path_ops) WHERE deleted_at IS NULL;
CREATE INDEX monitors_kind ON monitors (tenant_id, kind, id) WHERE deleted_at IS NULL;

-- The confirmed state of a monitor over all its locations. Written only when it changes.
CREATE TABLE states (
    monitor_id  uuid PRIMARY KEY REFERENCES monitors ON DELETE CASCADE,
    status      text NOT NULL,
    since_at    timestamptz NOT NULL,
    reason      text NOT NULL,
    flapping    boolean NOT NULL DEFAULT false,
    incident_id uuid
);
CREATE INDEX states_status ON states (status, monitor_id);

-- One row for each (monitor, location) that should be ticking, or whose schedule must still be cancelled.
-- The keeper makes NATS equal to this table: level-triggered, so a lost message is only a late one.
CREATE TABLE schedules (
    monitor_id         uuid NOT NULL REFERENCES monitors ON DELETE CASCADE,
    location           text NOT NULL,
    active             boolean NOT NULL,        -- false: the schedule is to be cancelled, then the row goes
    shard              integer NOT NULL,
    interval_s         integer NOT NULL,
    phase_s            integer NOT NULL,
    since_at           timestamptz NOT NULL,    -- ticks later than this are due under the present interval
    version            bigint NOT NULL DEFAULT 1,
    published_version  bigint NOT NULL DEFAULT 0,
    published_at       timestamptz,
    PRIMARY KEY (monitor_id, location)
);
CREATE INDEX schedules_unpublished ON schedules (monitor_id) WHERE published_version <> version;
CREATE INDEX schedules_published ON schedules (published_at);

-- The fold of one monitor at one location: what confirmation remembers, and the last result.
-- Updated for every result, so it has room for HOT updates and no index on what changes.
CREATE TABLE folds (
    monitor_id   uuid NOT NULL REFERENCES monitors ON DELETE CASCADE,
    location     text NOT NULL,
    status       text NOT NULL,
    since_at     timestamptz NOT NULL,
    reason       text NOT NULL,
    down_run     integer NOT NULL,
    bad_run      integer NOT NULL,
    up_run       integer NOT NULL,
    changes      integer NOT NULL,              -- bit n: did the class of the result change n results ago
    flapping     boolean NOT NULL,
    last_class   text NOT NULL,
    folded_at    timestamptz,                   -- tick_at of the newest result folded
    ticked_at    timestamptz,                   -- tick_at of the newest result of origin tick
    last_tick_at timestamptz,                   -- with location, the key of the last result
    PRIMARY KEY (monitor_id, location)
) WITH (fillfactor = 50);

CREATE TABLE transitions (
    id          uuid PRIMARY KEY,
    monitor_id  uuid NOT NULL REFERENCES monitors ON DELETE CASCADE,
    at          timestamptz NOT NULL,
    old         text NOT NULL,
    new         text NOT NULL,
    reason      text NOT NULL,
    incident_id uuid
);
CREATE INDEX transitions_monitor ON transitions (monitor_id, at DESC, id DESC);

CREATE TABLE incidents (
    id           uuid PRIMARY KEY,
    monitor_id   uuid NOT NULL REFERENCES monitors ON DELETE CASCADE,
    opened_at    timestamptz NOT NULL,
    closed_at    timestamptz,
    reason       text NOT NULL,
    close_reason text
);
CREATE UNIQUE INDEX incidents_open ON incidents (monitor_id) WHERE closed_at IS NULL;
CREATE INDEX incidents_monitor ON incidents (monitor_id, opened_at DESC);

-- Results, one partition a day (UTC). The key is the tick: a redelivery cannot count twice.
CREATE TABLE results (
    monitor_id uuid NOT NULL,
    location   text NOT NULL,
    tick_at    timestamptz NOT NULL,
    origin     text NOT NULL,
    revision   integer NOT NULL,
    interval_s integer NOT NULL,
    status     text NOT NULL,
    reason     text NOT NULL,
    detail     text NOT NULL,
    started_at timestamptz NOT NULL,
    duration_s double precision NOT NULL,
    samples    json NOT NULL,
    hops       json NOT NULL,                  -- phases stand in the order in which they happened
    prober     text NOT NULL,
    PRIMARY KEY (monitor_id, tick_at, location)
) PARTITION BY RANGE (tick_at);

-- Stretches of ticks that have no result yet: each becomes a result or a recorded `missed`, never nothing.
CREATE TABLE gaps (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    monitor_id uuid NOT NULL REFERENCES monitors ON DELETE CASCADE,
    location   text NOT NULL,
    revision   integer NOT NULL,
    interval_s integer NOT NULL,
    phase_s    integer NOT NULL,
    after_at   timestamptz NOT NULL,            -- exclusive
    until_at   timestamptz NOT NULL             -- inclusive
);
CREATE INDEX gaps_until ON gaps (until_at);

-- How time was spent. Recomputed whole from results, so that doing it twice changes nothing.
CREATE TABLE rollups_hourly (
    monitor_id     uuid NOT NULL,
    location       text NOT NULL,
    at             timestamptz NOT NULL,
    up_s           integer NOT NULL,
    degraded_s     integer NOT NULL,
    down_s         integer NOT NULL,
    unknown_s      integer NOT NULL,
    missed_s       integer NOT NULL,
    checks         integer NOT NULL,
    duration_s_sum double precision NOT NULL,
    duration_s_max double precision NOT NULL,
    PRIMARY KEY (monitor_id, at, location)
);
CREATE TABLE rollups_daily (LIKE rollups_hourly INCLUDING ALL);

-- Hours of monitors that got a row after they had closed: to be rolled up again.
CREATE TABLE rollups_stale (
    monitor_id uuid NOT NULL,
    at         timestamptz NOT NULL,
    PRIMARY KEY (monitor_id, at)
);

-- Messages to publish, written in the transaction that makes them true.
CREATE TABLE outbox (
    id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    subject text NOT NULL,
    msg_id  text NOT NULL,
    headers jsonb NOT NULL,
    body    bytea NOT NULL
);

CREATE TABLE idempotency (
    tenant_id   uuid NOT NULL REFERENCES tenants,
    key         text NOT NULL,
    fingerprint text NOT NULL,
    reply       json NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, key)
);
CREATE INDEX idempotency_created ON idempotency (created_at);

-- Small facts that must outlive a restart, such as when the CHECKS stream was created.
CREATE TABLE facts (
    name  text PRIMARY KEY,
    value jsonb NOT NULL
);
