-- +goose Up
-- extended_until is the latest end of any lease with an extension the device was
-- ever given; until when it may trust itself is the later of it and lease_until.
-- lease_codes are the hashes that its leases carry (protobuf).
ALTER TABLE devices ADD COLUMN extended_until BIGINT;
ALTER TABLE devices ADD COLUMN lease_codes BYTEA;

-- Every extension ever given. kind is code, file or export; until is the latest
-- end of the lease with it.
CREATE TABLE extensions (
    device_id   TEXT NOT NULL REFERENCES devices (id),
    number      BIGINT NOT NULL,
    kind        TEXT NOT NULL,
    add_us      BIGINT NOT NULL,
    until       BIGINT NOT NULL,
    given_at    BIGINT NOT NULL,
    given_by    TEXT NOT NULL,
    person      TEXT NOT NULL,
    PRIMARY KEY (device_id, number)
);
CREATE INDEX extensions_person ON extensions (person, given_at);

-- The one-time codes behind lease_codes that were not given out yet, sealed by
-- the data key.
CREATE TABLE lease_codes (
    device_id   TEXT NOT NULL REFERENCES devices (id),
    hash        BYTEA NOT NULL,
    add_us      BIGINT NOT NULL,
    sealed      BYTEA NOT NULL,
    PRIMARY KEY (device_id, hash)
);

-- +goose Down
DROP TABLE lease_codes;
DROP TABLE extensions;
ALTER TABLE devices DROP COLUMN lease_codes;
ALTER TABLE devices DROP COLUMN extended_until;
