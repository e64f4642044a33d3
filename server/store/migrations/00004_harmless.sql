-- +goose Up
-- Set for what gives no access by itself, such as a shell history. The release
-- before this one inserts without it.
ALTER TABLE credentials ADD COLUMN harmless INTEGER NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE credentials DROP COLUMN harmless;
