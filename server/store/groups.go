package store

import (
	"context"
	"time"

	"cutoff/server/device"
)

const groupColumns = `g.name, g.warn_us, g.seal_us, g.purge_us, g.renew_us, g.report_us, g.at_expiry, g.approvals,
	g.on_tamper, g.boot_toll_us, g.auto_lift, g.stopped_us, g.help, g.privileged`

// groupRow takes groupColumns, to be scanned alone or behind others.
type groupRow struct {
	device.Group
	warn, seal, purge, renew, report, toll, stopped int64
	autoLift, privileged                            int
}

func (r *groupRow) targets() []any {
	return []any{&r.Name, &r.warn, &r.seal, &r.purge, &r.renew, &r.report, &r.AtExpiry, &r.Approvals,
		&r.OnTamper, &r.toll, &r.autoLift, &r.stopped, &r.Help, &r.privileged}
}

func (r *groupRow) group() device.Group {
	g := r.Group
	g.Warn, g.Seal, g.Purge = duration(r.warn), duration(r.seal), duration(r.purge)
	g.Renew, g.Report, g.BootToll, g.Stopped = duration(r.renew), duration(r.report), duration(r.toll), duration(r.stopped)
	g.AutoLift, g.Privileged = r.autoLift != 0, r.privileged != 0
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
		(name, warn_us, seal_us, purge_us, renew_us, report_us, at_expiry, approvals,
		on_tamper, boot_toll_us, auto_lift, stopped_us, help, privileged)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
		ON CONFLICT (name) DO UPDATE SET warn_us = excluded.warn_us, seal_us = excluded.seal_us,
		purge_us = excluded.purge_us, renew_us = excluded.renew_us, report_us = excluded.report_us,
		at_expiry = excluded.at_expiry, approvals = excluded.approvals,
		on_tamper = excluded.on_tamper, boot_toll_us = excluded.boot_toll_us, auto_lift = excluded.auto_lift,
		stopped_us = excluded.stopped_us, help = excluded.help, privileged = excluded.privileged`,
		g.Name, g.Warn.Microseconds(), g.Seal.Microseconds(), g.Purge.Microseconds(), g.Renew.Microseconds(),
		g.Report.Microseconds(), g.AtExpiry, g.Approvals, g.OnTamper, g.BootToll.Microseconds(), integer(g.AutoLift),
		g.Stopped.Microseconds(), g.Help, integer(g.Privileged))
	return wrap(err)
}
