package store

import (
	"context"
	"time"

	"cutoff/server/device"
)

const groupColumns = `g.name, g.warn_us, g.seal_us, g.purge_us, g.renew_us, g.report_us, g.at_expiry, g.approvals`

// groupRow takes groupColumns, to be scanned alone or behind others.
type groupRow struct {
	device.Group
	warn, seal, purge, renew, report int64
}

func (r *groupRow) targets() []any {
	return []any{&r.Name, &r.warn, &r.seal, &r.purge, &r.renew, &r.report, &r.AtExpiry, &r.Approvals}
}

func (r *groupRow) group() device.Group {
	g := r.Group
	g.Warn, g.Seal, g.Purge = duration(r.warn), duration(r.seal), duration(r.purge)
	g.Renew, g.Report = duration(r.renew), duration(r.report)
	return g
}

func duration(us int64) time.Duration { return time.Duration(us) * time.Microsecond }

// Group reads one.
func (t *Tx) Group(ctx context.Context, name string) (device.Group, error) {
	var row groupRow
	err := t.tx.QueryRowContext(ctx, `SELECT `+groupColumns+` FROM groups g WHERE g.name = $1`, name).
		Scan(row.targets()...)
	return row.group(), found(err, "group")
}

// Groups are all, with how many live devices each has.
func (t *Tx) Groups(ctx context.Context) ([]device.Group, map[string]int, error) {
	rows, err := t.tx.QueryContext(ctx, `SELECT `+groupColumns+`,
		(SELECT COUNT(*) FROM devices d WHERE d.group_name = g.name AND d.state NOT IN ('retired', 'purged'))
		FROM groups g ORDER BY g.name`)
	if err != nil {
		return nil, nil, wrap(err)
	}
	defer func() { _ = rows.Close() }()
	var all []device.Group
	counts := map[string]int{}
	for rows.Next() {
		var row groupRow
		var n int
		if err := rows.Scan(append(row.targets(), &n)...); err != nil {
			return nil, nil, wrap(err)
		}
		all = append(all, row.group())
		counts[row.Name] = n
	}
	return all, counts, wrap(rows.Err())
}

// PutGroup creates or replaces a group's row.
func (t *Tx) PutGroup(ctx context.Context, g device.Group) error {
	_, err := t.tx.ExecContext(ctx, `INSERT INTO groups
		(name, warn_us, seal_us, purge_us, renew_us, report_us, at_expiry, approvals)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
		ON CONFLICT (name) DO UPDATE SET warn_us = excluded.warn_us, seal_us = excluded.seal_us,
		purge_us = excluded.purge_us, renew_us = excluded.renew_us, report_us = excluded.report_us,
		at_expiry = excluded.at_expiry, approvals = excluded.approvals`,
		g.Name, g.Warn.Microseconds(), g.Seal.Microseconds(), g.Purge.Microseconds(), g.Renew.Microseconds(),
		g.Report.Microseconds(), g.AtExpiry, g.Approvals)
	return wrap(err)
}
