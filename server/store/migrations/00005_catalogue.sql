-- +goose Up
-- What a group chose beyond the catalogue; choices is JSON. A group without a
-- row chose nothing. Versions count in one row of numbers with those of
-- catalogue_changes.
CREATE TABLE group_choices (
    group_name  TEXT PRIMARY KEY,
    version     BIGINT NOT NULL,
    choices     TEXT NOT NULL,
    set_at      BIGINT NOT NULL,
    set_by      TEXT NOT NULL
);

-- What administrators add to the agents' catalogue. files, count and the steps
-- are JSON; version is 0 until agents have seen it.
CREATE TABLE catalogue_changes (
    id          TEXT PRIMARY KEY,
    state       TEXT NOT NULL,
    version     BIGINT NOT NULL,
    canary      TEXT NOT NULL,
    files       TEXT NOT NULL,
    reason      TEXT NOT NULL,
    person      TEXT NOT NULL,
    steps       TEXT NOT NULL,
    counted     TEXT NOT NULL,
    asked_at    BIGINT NOT NULL
);
CREATE INDEX catalogue_changes_version ON catalogue_changes (version);

-- What each device was sent last, what it took, and with which version its last
-- inventory was made.
CREATE TABLE device_catalogues (
    device_id   TEXT PRIMARY KEY REFERENCES devices (id),
    number      BIGINT NOT NULL,
    content     TEXT NOT NULL,
    version     BIGINT NOT NULL,
    signed_at   BIGINT NOT NULL,
    taken       BIGINT NOT NULL,
    planned     BIGINT NOT NULL,
    planned_at  BIGINT
);

-- +goose Down
DROP TABLE device_catalogues;
DROP TABLE catalogue_changes;
DROP TABLE group_choices;
