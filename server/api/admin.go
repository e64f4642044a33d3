package api

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/server/fault"
	"cutoff/server/flow"
)

// Admin is what the admin service asks of flow.
type Admin interface {
	AdminDevices
	AdminCuts
	AdminTrust
	AdminCatalogue
	AdminExtensions
}

// adminService is AdminService: it translates, and decides nothing. Its methods
// are in one file a concern, as Admin's parts are.
type adminService struct {
	cutoffv1.UnimplementedAdminServiceServer
	flow       Admin
	connectors Connectors
	now        flow.Clock
}

// stamp is t on the wire: null when it is zero.
func stamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

// moment is a wire's time; zero when it is null.
func moment(t *timestamppb.Timestamp) (time.Time, error) {
	if t == nil {
		return time.Time{}, nil
	}
	if err := t.CheckValid(); err != nil {
		return time.Time{}, fault.New(fault.Invalid, "the time is out of range")
	}
	return t.AsTime(), nil
}

// each translates a list; nil stays an empty list on the wire.
func each[T, U any](list []T, translate func(T) U) []U {
	out := make([]U, 0, len(list))
	for _, v := range list {
		out = append(out, translate(v))
	}
	return out
}

// duration is a wire's count of milliseconds within ten years.
func duration(ms int64, what string) (time.Duration, error) {
	const most = 10 * 365 * 24 * time.Hour
	if ms < 0 || ms > most.Milliseconds() {
		return 0, fault.New(fault.Invalid, "%s is out of range", what)
	}
	return time.Duration(ms) * time.Millisecond, nil
}

// optional is duration for a field that may be unset.
func optional(ms *int64, what string) (*time.Duration, error) {
	if ms == nil {
		return nil, nil
	}
	d, err := duration(*ms, what)
	if err != nil {
		return nil, err
	}
	return &d, nil
}

var _ cutoffv1.AdminServiceServer = (*adminService)(nil)
