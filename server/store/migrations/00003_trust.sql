-- +goose Up
CREATE TABLE evidence (
    seq         BIGINT PRIMARY KEY,
    at          BIGINT NOT NULL,
    kind        TEXT NOT NULL,
    device_id   TEXT NOT NULL,
    cut_id      TEXT NOT NULL,
    case_id     TEXT NOT NULL,
    record      BYTEA NOT NULL,
    hash        BYTEA NOT NULL,
    chain       BYTEA NOT NULL
);
CREATE INDEX evidence_cut ON evidence (cut_id, seq);
CREATE INDEX evidence_case ON evidence (case_id, seq) WHERE cut_id = '';

-- One row: where the log stands, sealed with a key outside the database.
CREATE TABLE evidence_head (
    id          INTEGER PRIMARY KEY,
    seq         BIGINT NOT NULL,
    chain       BYTEA NOT NULL,
    seal        BYTEA NOT NULL
);

CREATE TABLE evidence_checkpoints (
    seq         BIGINT PRIMARY KEY,
    at          BIGINT NOT NULL,
    chain       BYTEA NOT NULL,
    envelope    BYTEA NOT NULL
);

CREATE TABLE policies (
    version     BIGINT PRIMARY KEY,
    yaml        TEXT NOT NULL,
    applied_at  BIGINT NOT NULL,
    applied_by  TEXT NOT NULL
);

-- The last decision about each device; rules is JSON and says since when each
-- rule has failed.
CREATE TABLE decisions (
    device_id   TEXT PRIMARY KEY,
    consequence TEXT NOT NULL,
    at          BIGINT NOT NULL,
    policy      BIGINT NOT NULL,
    rules       TEXT NOT NULL
);

CREATE TABLE operators (
    name        TEXT PRIMARY KEY,
    role        TEXT NOT NULL,
    password    TEXT NOT NULL,
    created_at  BIGINT NOT NULL,
    last_login  BIGINT
);

-- Only hashes of session tokens and API keys are kept.
CREATE TABLE sessions (
    hash        BYTEA PRIMARY KEY,
    operator    TEXT NOT NULL REFERENCES operators (name),
    created_at  BIGINT NOT NULL,
    seen_at     BIGINT NOT NULL
);
CREATE INDEX sessions_operator ON sessions (operator);

CREATE TABLE api_keys (
    hash        BYTEA PRIMARY KEY,
    name        TEXT NOT NULL UNIQUE,
    role        TEXT NOT NULL,
    created_by  TEXT NOT NULL,
    created_at  BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL
);

CREATE TABLE setup_codes (
    id          INTEGER PRIMARY KEY,
    hash        BYTEA NOT NULL,
    expires_at  BIGINT NOT NULL
);

-- secrets is one value, sealed with a key outside the database for this id.
CREATE TABLE connectors (
    id          TEXT PRIMARY KEY,
    name        TEXT NOT NULL UNIQUE,
    kind        TEXT NOT NULL,
    product     TEXT NOT NULL,
    config      TEXT NOT NULL,
    secrets     BYTEA NOT NULL,
    health      TEXT NOT NULL,
    detail      TEXT NOT NULL,
    checked_at  BIGINT,
    last_used   BIGINT,
    added_at    BIGINT NOT NULL,
    added_by    TEXT NOT NULL
);

-- What the configuration file said at the last start.
CREATE TABLE settings (
    name        TEXT PRIMARY KEY,
    value       TEXT NOT NULL
);

-- +goose Down
DROP TABLE settings;
DROP TABLE connectors;
DROP TABLE setup_codes;
DROP TABLE api_keys;
DROP TABLE sessions;
DROP TABLE operators;
DROP TABLE decisions;
DROP TABLE policies;
DROP TABLE evidence_checkpoints;
DROP TABLE evidence_head;
DROP TABLE evidence;
