package api

import (
	"context"
	"errors"
	"log/slog"
	"runtime/debug"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"cutoff/server/fault"
)

// codeOf is the one place where a kind of error becomes a code of the wire.
func codeOf(kind fault.Kind) codes.Code {
	switch kind {
	case fault.Invalid:
		return codes.InvalidArgument
	case fault.NotFound:
		return codes.NotFound
	case fault.Conflict:
		return codes.FailedPrecondition
	case fault.Denied:
		return codes.PermissionDenied
	case fault.Unauthenticated:
		return codes.Unauthenticated
	case fault.Limited:
		return codes.ResourceExhausted
	case fault.Unavailable:
		return codes.Unavailable
	default:
		return codes.Internal
	}
}

// edge turns errors into what the outside may read, logs what it may not, and
// keeps a panic in one call from ending the server.
type edge struct {
	log *slog.Logger
}

// answer translates err for the caller of method. What is internal is logged
// here and nowhere else.
func (e edge) answer(ctx context.Context, method string, err error) error {
	if err == nil {
		return nil
	}
	if s, ok := status.FromError(err); ok && fault.Of(err) == fault.Internal {
		return s.Err() // made by this package or by the transport
	}
	switch {
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		return status.Error(codes.Canceled, "the caller went away")
	case errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil:
		return status.Error(codes.DeadlineExceeded, "the time for this call is over")
	}
	kind := fault.Of(err)
	// A stop tells every stream so: that is no failure, and would fill the log.
	stopping := errors.Is(err, errDrained)
	if (kind == fault.Internal || kind == fault.Unavailable) && !stopping {
		e.log.ErrorContext(ctx, "call did not succeed", "method", method, "err", err)
	} else {
		e.log.DebugContext(ctx, "call refused", "method", method, "err", err)
	}
	return status.Error(codeOf(kind), fault.Sentence(err))
}

func (e edge) recovered(ctx context.Context, method string, p any) error {
	e.log.ErrorContext(ctx, "call panicked", "method", method, "panic", p, "stack", string(debug.Stack()))
	return status.Error(codes.Internal, fault.Sentence(errors.New("panic")))
}

// unary is the outermost interceptor of unary calls.
func (e edge) unary(
	ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler,
) (resp any, err error) {
	defer func() {
		if p := recover(); p != nil {
			resp, err = nil, e.recovered(ctx, info.FullMethod, p)
		}
	}()
	resp, err = next(ctx, req)
	return resp, e.answer(ctx, info.FullMethod, err)
}

// stream is the outermost interceptor of streams.
func (e edge) stream(
	srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler,
) (err error) {
	ctx := stream.Context()
	defer func() {
		if p := recover(); p != nil {
			err = e.recovered(ctx, info.FullMethod, p)
		}
	}()
	return e.answer(ctx, info.FullMethod, next(srv, stream))
}
