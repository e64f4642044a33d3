-- +goose Up
ALTER TABLE groups ADD COLUMN on_tamper TEXT NOT NULL DEFAULT 'seal';
ALTER TABLE groups ADD COLUMN boot_toll_us BIGINT NOT NULL DEFAULT 0;
ALTER TABLE groups ADD COLUMN auto_lift INTEGER NOT NULL DEFAULT 1;
ALTER TABLE groups ADD COLUMN stopped_us BIGINT NOT NULL DEFAULT 14400000000;
ALTER TABLE groups ADD COLUMN help TEXT NOT NULL DEFAULT '';
ALTER TABLE groups ADD COLUMN privileged INTEGER NOT NULL DEFAULT 0;

-- granted_until is until when the device may trust itself, every extension
-- included; seal_due and purge_due are when the server acts on its silence.
ALTER TABLE devices ADD COLUMN granted_until BIGINT;
ALTER TABLE devices ADD COLUMN seal_due BIGINT;
ALTER TABLE devices ADD COLUMN purge_due BIGINT;
-- What its agent said last of itself: the lease and order numbers it held, its
-- boots, oldest first, and that it would stop.
ALTER TABLE devices ADD COLUMN said_lease BIGINT;
ALTER TABLE devices ADD COLUMN said_order BIGINT;
ALTER TABLE devices ADD COLUMN boots TEXT NOT NULL DEFAULT '';
ALTER TABLE devices ADD COLUMN hello_at BIGINT;
ALTER TABLE devices ADD COLUMN left_reason TEXT NOT NULL DEFAULT '';
ALTER TABLE devices ADD COLUMN left_at BIGINT;
-- A person said no to what its silence made due: not asked again before.
ALTER TABLE devices ADD COLUMN silence_after BIGINT;
UPDATE devices SET granted_until = lease_until, seal_due = lease_until,
    purge_due = lease_until + (SELECT g.purge_us - g.seal_us FROM groups g WHERE g.name = devices.group_name);
CREATE INDEX devices_silent ON devices (seal_due, id) WHERE cut_id = '' AND state IN ('trusted', 'warned');
CREATE INDEX cuts_expired ON cuts (device_id)
    WHERE cause = 'expiry' AND level = 'seal' AND state IN ('open', 'settled') AND pending_case = '';

-- One row: the server's own pulse. unsteady_at is set while its clock is not
-- trusted to call a device silent.
CREATE TABLE pulse (
    id          INTEGER PRIMARY KEY,
    at          BIGINT NOT NULL,
    unsteady_at BIGINT,
    reason      TEXT NOT NULL
);

-- The order that permits a removal belongs to no cut: its cut_id is its own id.
CREATE TABLE orders_free (
    id              TEXT PRIMARY KEY,
    cut_id          TEXT NOT NULL,
    case_id         TEXT NOT NULL,
    device_id       TEXT NOT NULL,
    kind            TEXT NOT NULL,
    state           TEXT NOT NULL,
    number          BIGINT NOT NULL,
    recipient       TEXT NOT NULL,
    next_grant      BYTEA,
    reason          TEXT NOT NULL,
    created_at      BIGINT NOT NULL,
    sent_at         BIGINT,
    delivered_at    BIGINT,
    done_at         BIGINT,
    detail          TEXT NOT NULL,
    not_before      BIGINT,
    seq             BIGINT NOT NULL
);
INSERT INTO orders_free (id, cut_id, case_id, device_id, kind, state, number, recipient, next_grant, reason, created_at,
    sent_at, delivered_at, done_at, detail, not_before, seq)
    SELECT id, cut_id, case_id, device_id, kind, state, number, recipient, next_grant, reason, created_at,
    sent_at, delivered_at, done_at, detail, not_before, seq FROM orders;
DROP TABLE orders;
ALTER TABLE orders_free RENAME TO orders;
CREATE UNIQUE INDEX orders_cut ON orders (cut_id, seq);
CREATE INDEX orders_due ON orders (device_id, created_at, seq) WHERE state IN ('drafted', 'delivered', 'refused');
CREATE INDEX orders_removal ON orders (device_id) WHERE kind = 'uninstall';

-- +goose Down
DROP INDEX orders_removal;
DROP TABLE pulse;
DROP INDEX cuts_expired;
DROP INDEX devices_silent;
ALTER TABLE devices DROP COLUMN silence_after;
ALTER TABLE devices DROP COLUMN left_at;
ALTER TABLE devices DROP COLUMN left_reason;
ALTER TABLE devices DROP COLUMN hello_at;
ALTER TABLE devices DROP COLUMN boots;
ALTER TABLE devices DROP COLUMN said_order;
ALTER TABLE devices DROP COLUMN said_lease;
ALTER TABLE devices DROP COLUMN purge_due;
ALTER TABLE devices DROP COLUMN seal_due;
ALTER TABLE devices DROP COLUMN granted_until;
ALTER TABLE groups DROP COLUMN privileged;
ALTER TABLE groups DROP COLUMN help;
ALTER TABLE groups DROP COLUMN stopped_us;
ALTER TABLE groups DROP COLUMN auto_lift;
ALTER TABLE groups DROP COLUMN boot_toll_us;
ALTER TABLE groups DROP COLUMN on_tamper;
