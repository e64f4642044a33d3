-- +goose Up
-- A case is one decision; its cuts share its id.
CREATE TABLE cases (
    id              TEXT PRIMARY KEY,
    device_id       TEXT NOT NULL,
    person_id       TEXT NOT NULL,
    credential_id   TEXT NOT NULL,
    level           TEXT NOT NULL,
    cause           TEXT NOT NULL,
    reason          TEXT NOT NULL,
    actor           TEXT NOT NULL,
    person          TEXT NOT NULL,
    machine         INTEGER NOT NULL,
    state           TEXT NOT NULL,
    needs           INTEGER NOT NULL,
    held_reason     TEXT NOT NULL,
    asked_at        BIGINT NOT NULL,
    last_device     TEXT NOT NULL,
    remaining       INTEGER NOT NULL
);
CREATE INDEX cases_working ON cases (state, asked_at) WHERE state IN ('holding', 'held', 'opening');
CREATE INDEX cases_remaining ON cases (machine, person) WHERE remaining > 0;

CREATE TABLE approvals (
    case_id         TEXT NOT NULL REFERENCES cases (id),
    person          TEXT NOT NULL,
    actor           TEXT NOT NULL,
    verdict         TEXT NOT NULL,
    reason          TEXT NOT NULL,
    at              BIGINT NOT NULL,
    PRIMARY KEY (case_id, person)
);

CREATE TABLE cuts (
    id              TEXT PRIMARY KEY,
    case_id         TEXT NOT NULL,
    device_id       TEXT NOT NULL,
    person_id       TEXT NOT NULL,
    credential_id   TEXT NOT NULL,
    level           TEXT NOT NULL,
    state           TEXT NOT NULL,
    cause           TEXT NOT NULL,
    reason          TEXT NOT NULL,
    actor           TEXT NOT NULL,
    held_reason     TEXT NOT NULL,
    let_through     INTEGER NOT NULL,
    pending_case    TEXT NOT NULL,
    escrow_id       TEXT NOT NULL,
    opened_at       BIGINT NOT NULL,
    settled_at      BIGINT,
    lift_reason     TEXT NOT NULL,
    lift_actor      TEXT NOT NULL,
    lifted_at       BIGINT,
    receipt_at      BIGINT,
    first_removed_us BIGINT NOT NULL,
    receipt_number  BIGINT NOT NULL,
    receipt_part    BIGINT NOT NULL,
    unfinished      INTEGER NOT NULL
);
CREATE INDEX cuts_case ON cuts (case_id, id);
CREATE INDEX cuts_pending ON cuts (pending_case, id) WHERE pending_case <> '';
CREATE INDEX cuts_device ON cuts (device_id, opened_at);
CREATE INDEX cuts_subject ON cuts (person_id, credential_id);
CREATE INDEX cuts_opened ON cuts (opened_at, id);
-- One cut that is asked for or stands per device. A device that sealed itself
-- anew in the middle of a lift may have both, so lifting is left out.
CREATE UNIQUE INDEX cuts_active ON cuts (device_id)
    WHERE device_id <> '' AND state IN ('held', 'open', 'settled');

-- What the brake counts.
CREATE TABLE brake_units (
    person          TEXT NOT NULL,
    machine         INTEGER NOT NULL,
    group_name      TEXT NOT NULL,
    unit            TEXT NOT NULL,
    at              BIGINT NOT NULL
);
CREATE INDEX brake_units_person ON brake_units (machine, person, at);
CREATE INDEX brake_units_group ON brake_units (machine, group_name, at);

CREATE TABLE items (
    cut_id          TEXT NOT NULL REFERENCES cuts (id),
    id              TEXT NOT NULL,
    product         TEXT NOT NULL,
    user_name       TEXT NOT NULL,
    path            TEXT NOT NULL,
    action          TEXT NOT NULL,
    outcome         TEXT NOT NULL,
    detail          TEXT NOT NULL,
    residual_until  BIGINT,
    residual_unbounded INTEGER NOT NULL,
    identifiers     TEXT NOT NULL,
    sealed          INTEGER NOT NULL,
    regain          TEXT NOT NULL,
    confidence      TEXT NOT NULL,
    PRIMARY KEY (cut_id, id)
);

CREATE TABLE steps (
    id              TEXT PRIMARY KEY,
    cut_id          TEXT NOT NULL REFERENCES cuts (id),
    connector       TEXT NOT NULL,
    action          TEXT NOT NULL,
    target          TEXT NOT NULL,
    params          TEXT NOT NULL,
    scope           TEXT NOT NULL,
    undo            TEXT NOT NULL,
    undo_of         TEXT NOT NULL,
    step_rank       INTEGER NOT NULL,
    state           TEXT NOT NULL,
    acted           INTEGER NOT NULL,
    outcome         TEXT NOT NULL,
    proof           TEXT NOT NULL,
    residual_until  BIGINT,
    residual_unbounded INTEGER NOT NULL,
    detail          TEXT NOT NULL,
    attempts        INTEGER NOT NULL,
    due_at          BIGINT,
    done_at         BIGINT,
    holder          TEXT NOT NULL,
    claimed_until   BIGINT,
    memo            TEXT NOT NULL
);
CREATE INDEX steps_cut ON steps (cut_id);
CREATE INDEX steps_due ON steps (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX steps_holder ON steps (holder) WHERE holder <> '';

CREATE TABLE orders (
    id              TEXT PRIMARY KEY,
    cut_id          TEXT NOT NULL REFERENCES cuts (id),
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
CREATE UNIQUE INDEX orders_cut ON orders (cut_id, seq);
CREATE INDEX orders_due ON orders (device_id, created_at, seq) WHERE state IN ('drafted', 'delivered', 'refused');

-- Which receipts are stored; their bytes are evidence.
CREATE TABLE receipts (
    cut_id          TEXT NOT NULL REFERENCES cuts (id),
    order_id        TEXT NOT NULL,
    part            BIGINT NOT NULL,
    digest          BYTEA NOT NULL,
    at              BIGINT NOT NULL,
    PRIMARY KEY (cut_id, order_id, part)
);

-- +goose Down
DROP TABLE receipts;
DROP TABLE orders;
DROP TABLE steps;
DROP TABLE items;
DROP TABLE brake_units;
DROP TABLE cuts;
DROP TABLE approvals;
DROP TABLE cases;
