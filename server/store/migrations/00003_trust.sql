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
CREATE INDEX evidence_case ON evidence (case_id, seq);

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

-- +goose Down
DROP TABLE evidence_checkpoints;
DROP TABLE evidence_head;
DROP TABLE evidence;
