-- +goose Up
CREATE INDEX steps_shred ON steps (residual_until) WHERE connector = 'escrow' AND outcome = 'accepted';

-- +goose Down
DROP INDEX steps_shred;
