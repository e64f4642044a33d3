-- +goose Up
CREATE TABLE groups (
    name        TEXT PRIMARY KEY
);
-- +goose Down
DROP TABLE groups;
