package api

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/server/flow"
)

// methods are all methods of a service, as the generated code lists them.
func methods(service grpc.ServiceDesc) []string {
	var names []string
	for _, m := range service.Methods {
		names = append(names, "/"+service.ServiceName+"/"+m.MethodName)
	}
	for _, m := range service.Streams {
		names = append(names, "/"+service.ServiceName+"/"+m.StreamName)
	}
	return names
}

func TestEveryMethodHasARowInTheAccessTable(t *testing.T) {
	table := access()
	seen := 0
	for _, service := range []grpc.ServiceDesc{cutoffv1.AgentService_ServiceDesc, cutoffv1.AdminService_ServiceDesc} {
		for _, m := range methods(service) {
			seen++
			if table[m] == nobody {
				t.Errorf("%s has no row: say who may call it", m)
			}
		}
	}
	if len(table) != seen {
		t.Errorf("the table has %d rows for %d methods", len(table), seen)
	}
}

func TestOperatorsMethodsAreForOperatorsAndAgentsForDevices(t *testing.T) {
	table := access()
	for _, m := range methods(cutoffv1.AdminService_ServiceDesc) {
		if table[m] < asViewer {
			t.Errorf("%s is open to callers without a role", m)
		}
	}
	without := map[string]bool{
		cutoffv1.AgentService_Roster_FullMethodName: true, cutoffv1.AgentService_Enroll_FullMethodName: true,
	}
	for _, m := range methods(cutoffv1.AgentService_ServiceDesc) {
		if (table[m] == anyone) != without[m] {
			t.Errorf("%s: open to anyone is %v, want %v", m, table[m] == anyone, without[m])
		}
	}
}

func TestAMethodWithoutARowIsRefusedAtRunTime(t *testing.T) {
	table := access()
	delete(table, cutoffv1.AdminService_ListDevices_FullMethodName)
	delete(table, cutoffv1.AgentService_Roster_FullMethodName)
	log := slog.New(slog.DiscardHandler)
	called := func(context.Context, any) (any, error) { t.Error("the handler ran"); return nil, nil }

	d := &desk{access: table, log: log, who: func(context.Context) (flow.Actor, error) {
		return flow.LocalActor(0), nil
	}}
	info := &grpc.UnaryServerInfo{FullMethod: cutoffv1.AdminService_ListDevices_FullMethodName}
	if _, err := d.unary(t.Context(), nil, info, called); err == nil {
		t.Error("an admin's call to a method without a row went through")
	}

	g := &gate{access: table, edge: edge{log: log}}
	info = &grpc.UnaryServerInfo{FullMethod: cutoffv1.AgentService_Roster_FullMethodName}
	if _, err := g.unary(t.Context(), nil, info, called); err == nil {
		t.Error("an agent's call to a method without a row went through")
	}
}

func TestARoleIncludesTheWeakerOnesAndAnUnknownRoleIsNone(t *testing.T) {
	for _, c := range []struct {
		role, method string
		want         bool
	}{
		{"viewer", "ListDevices", true},
		{"viewer", "OpenCut", false},
		{"operator", "ListDevices", true},
		{"operator", "OpenCut", true},
		{"operator", "ApplyPolicy", false},
		{"admin", "ApplyPolicy", true},
		{"", "ListDevices", false},
		{"root", "ListDevices", false},
		{"admin", "NoSuchMethod", false},
	} {
		if got := May(c.role, c.method); got != c.want {
			t.Errorf("May(%q, %q) = %v, want %v", c.role, c.method, got, c.want)
		}
	}
}

func TestAPanicInACallIsAnswerWithoutItsText(t *testing.T) {
	e := edge{log: slog.New(slog.DiscardHandler)}
	info := &grpc.UnaryServerInfo{FullMethod: "/x"}
	_, err := e.unary(t.Context(), nil, info, func(context.Context, any) (any, error) { panic("secret") })
	s, _ := status.FromError(err)
	if s.Code() != codes.Internal || s.Message() == "" || s.Message() == "secret" {
		t.Errorf("got %v, want an internal error that says nothing of the panic", err)
	}
}

func TestAStopIsNoErrorInTheLog(t *testing.T) {
	var logged bytes.Buffer
	e := edge{log: slog.New(slog.NewTextHandler(&logged, nil))}
	if s, _ := status.FromError(e.answer(t.Context(), "/x", errDrained)); s.Code() != codes.Unavailable {
		t.Errorf("got %v, want Unavailable", s)
	}
	if logged.Len() > 0 {
		t.Errorf("logged %s", logged.String())
	}
	_ = e.answer(t.Context(), "/x", errors.New("broken"))
	if !strings.Contains(logged.String(), "broken") {
		t.Errorf("a failure was not logged: %q", logged.String())
	}
}
