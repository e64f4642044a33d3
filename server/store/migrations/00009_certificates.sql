-- +goose Up
-- Certificates that were ever reported to lie on a device and have not ended: a
-- renewed one has another serial, and the one before can be renewed as well.
-- kind is x509 or ssh; expires_at is NULL where nobody knows.
CREATE TABLE certificates (
    device_id   TEXT NOT NULL REFERENCES devices (id),
    kind        TEXT NOT NULL,
    issuer      TEXT NOT NULL,
    serial      TEXT NOT NULL,
    name        TEXT NOT NULL,
    expires_at  BIGINT,
    seen_at     BIGINT NOT NULL,
    PRIMARY KEY (device_id, kind, issuer, serial)
);

-- +goose Down
DROP TABLE certificates;
