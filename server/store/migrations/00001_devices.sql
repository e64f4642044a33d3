-- +goose Up
CREATE TABLE groups (
    name            TEXT PRIMARY KEY,
    warn_us         BIGINT NOT NULL,
    seal_us         BIGINT NOT NULL,
    purge_us        BIGINT NOT NULL,
    renew_us        BIGINT NOT NULL,
    report_us       BIGINT NOT NULL,
    at_expiry       TEXT NOT NULL,
    approvals       INTEGER NOT NULL
);
-- The group that always exists: 48 h, 72 h, 14 d, 5 min, 5 min.
INSERT INTO groups (name, warn_us, seal_us, purge_us, renew_us, report_us, at_expiry, approvals)
VALUES ('default', 172800000000, 259200000000, 1209600000000, 300000000, 300000000, 'seal', 0);

CREATE TABLE people (
    id              TEXT PRIMARY KEY,
    email           TEXT NOT NULL UNIQUE,
    name            TEXT NOT NULL,
    created_at      BIGINT NOT NULL
);
CREATE TABLE accounts (
    person_id       TEXT NOT NULL REFERENCES people (id),
    connector       TEXT NOT NULL,
    account         TEXT NOT NULL,
    PRIMARY KEY (person_id, connector, account)
);

CREATE TABLE tokens (
    id              TEXT PRIMARY KEY,
    hash            BYTEA NOT NULL UNIQUE,
    group_name      TEXT NOT NULL REFERENCES groups (name),
    uses            INTEGER NOT NULL,
    used            INTEGER NOT NULL,
    created_by      TEXT NOT NULL,
    created_at      BIGINT NOT NULL,
    expires_at      BIGINT NOT NULL,
    revoked_at      BIGINT
);

-- A retired device's row stays: its anchor and last key are the tombstone.
CREATE TABLE devices (
    id              TEXT PRIMARY KEY,
    group_name      TEXT NOT NULL REFERENCES groups (name),
    hostname        TEXT NOT NULL,
    os              TEXT NOT NULL,
    arch            TEXT NOT NULL,
    state           TEXT NOT NULL,
    anchor          BYTEA,
    public_key      BYTEA NOT NULL UNIQUE,
    agent_version   TEXT NOT NULL,
    trial_root      TEXT NOT NULL,
    person_id       TEXT REFERENCES people (id),
    cut_id          TEXT NOT NULL,
    reserved_cut    TEXT NOT NULL,
    escrow_id       TEXT NOT NULL,
    recipient       TEXT NOT NULL,
    current_serial  TEXT NOT NULL,
    next_serial     TEXT NOT NULL,
    order_number    BIGINT NOT NULL,
    lease_number    BIGINT NOT NULL,
    facts           TEXT NOT NULL,
    enrolled_at     BIGINT NOT NULL,
    enrolled_with   TEXT NOT NULL,
    last_contact    BIGINT,
    lease_until     BIGINT,
    inventory_at    BIGINT,
    retired_at      BIGINT
);
CREATE INDEX devices_hostname ON devices (hostname);
CREATE INDEX devices_anchor ON devices (anchor);
CREATE INDEX devices_group ON devices (group_name, state);
CREATE INDEX devices_person ON devices (person_id, id);

-- The last report of each device; facts is JSON.
CREATE TABLE postures (
    device_id       TEXT PRIMARY KEY REFERENCES devices (id),
    at              BIGINT NOT NULL,
    facts           TEXT NOT NULL
);

-- What gives access, by non-secret names; sealed is a token the server holds,
-- encrypted by the data key.
CREATE TABLE credentials (
    id              TEXT PRIMARY KEY,
    device_id       TEXT REFERENCES devices (id),
    person_id       TEXT REFERENCES people (id),
    connector       TEXT NOT NULL,
    product         TEXT NOT NULL,
    user_name       TEXT NOT NULL,
    path            TEXT NOT NULL,
    identifiers     TEXT NOT NULL,
    regain          TEXT NOT NULL,
    label           TEXT NOT NULL,
    held            INTEGER NOT NULL,
    token_type      TEXT NOT NULL,
    sealed          BYTEA,
    expires_at      BIGINT,
    seen_at         BIGINT NOT NULL
);
CREATE INDEX credentials_device ON credentials (device_id);
CREATE INDEX credentials_person ON credentials (person_id);

-- One key per seal. wrapped is NULL once shredded; the row is the tombstone.
CREATE TABLE escrows (
    id              TEXT PRIMARY KEY,
    device_id       TEXT NOT NULL REFERENCES devices (id),
    cut_id          TEXT NOT NULL UNIQUE,
    recipient       TEXT NOT NULL,
    wrapped         BYTEA,
    created_at      BIGINT NOT NULL,
    shredded_at     BIGINT
);
CREATE INDEX escrows_device ON escrows (device_id);

-- +goose Down
DROP TABLE escrows;
DROP TABLE credentials;
DROP TABLE postures;
DROP TABLE devices;
DROP TABLE tokens;
DROP TABLE accounts;
DROP TABLE people;
DROP TABLE groups;
