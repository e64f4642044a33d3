package api

import (
	"context"
	"strings"
	"time"

	"google.golang.org/grpc"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/server/cut"
	"cutoff/server/fault"
	"cutoff/server/flow"
)

// AdminExtensions is the part of Admin about devices that cannot reach the
// server: more time, and a lift by file.
type AdminExtensions interface {
	ExtendLease(
		ctx context.Context, actor flow.Actor, idOrHostname string, add time.Duration, file bool, reason string,
	) (flow.Extended, error)
	ExportLeases(
		ctx context.Context, actor flow.Actor, group string, add time.Duration, reason string,
		emit func([]flow.ExportedFile) error,
	) (leftOut int, err error)
	LiftByFile(ctx context.Context, actor flow.Actor, cutID, reason string, file []byte) (cut.Cut, []byte, error)
}

// reasonIfAny is reasonOf where none is needed.
func reasonIfAny(text string) (string, error) {
	if strings.TrimSpace(text) == "" {
		return "", nil
	}
	return reasonOf(text)
}

func (s *adminService) ExtendLease(
	ctx context.Context, req *cutoffv1.ExtendLeaseRequest,
) (*cutoffv1.ExtendLeaseResponse, error) {
	actor, err := actorOf(ctx)
	if err != nil {
		return nil, err
	}
	reason, err := reasonIfAny(req.GetReason())
	if err != nil {
		return nil, err
	}
	add, err := duration(req.GetForMs(), "the time")
	if err != nil {
		return nil, err
	}
	if req.GetDevice() == "" {
		return nil, fault.New(fault.Invalid, "which device: an id or a unique hostname is needed")
	}
	given, err := s.flow.ExtendLease(ctx, actor, req.GetDevice(), add, req.GetFile(), reason)
	if err != nil {
		return nil, err
	}
	return &cutoffv1.ExtendLeaseResponse{
		DeviceId: given.Device.ID, Hostname: given.Device.Hostname, ForMs: given.Add.Milliseconds(),
		Code: given.Code, File: given.File, GrantedUntil: stamp(given.Until),
	}, nil
}

func (s *adminService) ExportLeases(
	req *cutoffv1.ExportLeasesRequest, stream grpc.ServerStreamingServer[cutoffv1.ExportLeasesResponse],
) error {
	ctx := stream.Context()
	actor, err := actorOf(ctx)
	if err != nil {
		return err
	}
	reason, err := reasonIfAny(req.GetReason())
	if err != nil {
		return err
	}
	add, err := duration(req.GetForMs(), "the time")
	if err != nil {
		return err
	}
	leftOut, err := s.flow.ExportLeases(ctx, actor, req.GetGroup(), add, reason, func(files []flow.ExportedFile) error {
		return stream.Send(&cutoffv1.ExportLeasesResponse{
			Files: each(files, func(f flow.ExportedFile) *cutoffv1.LeaseFile {
				return &cutoffv1.LeaseFile{DeviceId: f.DeviceID, Name: f.Name, File: f.File, GrantedUntil: stamp(f.Until)}
			}),
		})
	})
	if err != nil {
		return err
	}
	return stream.Send(&cutoffv1.ExportLeasesResponse{LeftOut: int32(min(leftOut, 1<<30))})
}

func (s *adminService) LiftByFile(
	ctx context.Context, req *cutoffv1.LiftByFileRequest,
) (*cutoffv1.LiftByFileResponse, error) {
	actor, err := actorOf(ctx)
	if err != nil {
		return nil, err
	}
	reason, err := reasonOf(req.GetReason())
	if err != nil {
		return nil, err
	}
	c, answer, err := s.flow.LiftByFile(ctx, actor, req.GetCutId(), reason, req.GetRequest())
	if err != nil {
		return nil, err
	}
	return &cutoffv1.LiftByFileResponse{Cut: s.cutMessage(c), Answer: answer}, nil
}
