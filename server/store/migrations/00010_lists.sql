-- +goose Up
-- Revocation lists that the server publishes itself: what each step asks for,
-- the list as it is handed out, and which version hosts said they have.
CREATE TABLE list_entries (
    connector   TEXT NOT NULL,
    step_id     TEXT NOT NULL,
    kind        TEXT NOT NULL,
    authority   TEXT NOT NULL,
    value       TEXT NOT NULL,
    expires_at  BIGINT,
    PRIMARY KEY (connector, step_id, kind, authority, value)
);
CREATE TABLE lists (
    connector   TEXT PRIMARY KEY,
    version     BIGINT NOT NULL,
    bytes       BYTEA NOT NULL,
    signature   BYTEA NOT NULL,
    signer      TEXT NOT NULL,
    made_at     BIGINT NOT NULL
);
CREATE TABLE list_hosts (
    connector   TEXT NOT NULL,
    name        TEXT NOT NULL,
    version     BIGINT NOT NULL,
    said_at     BIGINT NOT NULL,
    PRIMARY KEY (connector, name)
);

-- +goose Down
DROP TABLE list_hosts;
DROP TABLE lists;
DROP TABLE list_entries;
