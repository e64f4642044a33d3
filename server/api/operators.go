package api

import (
	"context"
	"log/slog"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/server/fault"
	"cutoff/server/flow"
)

// identify answers who calls the admin service.
type identify func(ctx context.Context) (flow.Actor, error)

// Bearer recognises who presents an API key or a console session.
type Bearer interface {
	// Bearer answers the actor of a secret, or an error of kind Unauthenticated.
	Bearer(ctx context.Context, secret string) (flow.Actor, error)
}

// desk lets an operator's call through to the methods of his role.
type desk struct {
	who    identify
	access map[string]caller
	log    *slog.Logger
}

type actorKey struct{}

// WithActor puts an operator whom the caller has recognised where NewAdmin's
// methods look for him.
func WithActor(ctx context.Context, actor flow.Actor) context.Context {
	return context.WithValue(ctx, actorKey{}, actor)
}

// May reports whether a role may call the admin method of that name, such as
// OpenCut.
func May(role, method string) bool {
	need := access()["/"+cutoffv1.AdminService_ServiceDesc.ServiceName+"/"+method]
	return need >= asViewer && rank(role) >= need
}

// actorOf is the operator the desk recognised.
func actorOf(ctx context.Context) (flow.Actor, error) {
	actor, ok := ctx.Value(actorKey{}).(flow.Actor)
	if !ok || actor.Name == "" {
		return flow.Actor{}, fault.New(fault.Unauthenticated, "who calls is not known")
	}
	return actor, nil
}

func (d *desk) enter(ctx context.Context, method string) (context.Context, error) {
	need := d.access[method]
	actor, err := d.who(ctx)
	if err != nil {
		return nil, err
	}
	if err := permit(actor, need); err != nil {
		d.log.InfoContext(ctx, "call denied", "method", method, "actor", actor.Name, "role", actor.Role)
		return nil, err
	}
	return WithActor(ctx, actor), nil
}

func (d *desk) unary(
	ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler,
) (any, error) {
	ctx, err := d.enter(ctx, info.FullMethod)
	if err != nil {
		return nil, err
	}
	return next(ctx, req)
}

func (d *desk) stream(
	srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, next grpc.StreamHandler,
) error {
	ctx, err := d.enter(stream.Context(), info.FullMethod)
	if err != nil {
		return err
	}
	return next(srv, &streamWith{ServerStream: stream, ctx: ctx})
}

// byBearer identifies by "authorization: Bearer SECRET".
func byBearer(bearer Bearer) identify {
	return func(ctx context.Context) (flow.Actor, error) {
		md, _ := metadata.FromIncomingContext(ctx)
		values := md.Get("authorization")
		if len(values) != 1 {
			return flow.Actor{}, fault.New(fault.Unauthenticated,
				"an API key is required: Authorization: Bearer KEY")
		}
		scheme, secret, ok := strings.Cut(values[0], " ")
		if !ok || !strings.EqualFold(scheme, "bearer") || secret == "" || len(secret) > 512 {
			return flow.Actor{}, fault.New(fault.Unauthenticated,
				"an API key is required: Authorization: Bearer KEY")
		}
		return bearer.Bearer(ctx, secret)
	}
}

// byLocalUser identifies by the uid of the process at the other end of the
// socket. Who can open the socket owns the data directory, so he is an admin;
// for the brake and approvals all local users are one person.
func byLocalUser(ctx context.Context) (flow.Actor, error) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return flow.Actor{}, fault.New(fault.Unauthenticated, "the connection is not known")
	}
	local, ok := p.AuthInfo.(localUser)
	if !ok {
		return flow.Actor{}, fault.New(fault.Unauthenticated, "the connection is not the admin socket's")
	}
	return flow.LocalActor(int(local.uid)), nil
}
