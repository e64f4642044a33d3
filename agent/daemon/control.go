package daemon

import (
	"context"

	"cutoff/agent/control"
	"cutoff/agent/flow"
)

// control answers commands of this machine's administrator. An agent that cannot
// listen goes on without: nothing that protects the device rests on it.
func (a *agent) control(ctx context.Context) error {
	if err := control.Serve(ctx, a.options.State.Control(), a.command); ctx.Err() == nil && err != nil {
		a.options.Log.Warn("no commands are taken", "err", err)
		<-ctx.Done()
	}
	return ctx.Err()
}

func (a *agent) command(ctx context.Context, r control.Request) control.Answer {
	var extended flow.Extended
	var err error
	switch {
	case r.Lift:
		cutID, file, err := a.flow.RequestLift(ctx)
		if err != nil {
			return control.Answer{Error: err.Error()}
		}
		return control.Answer{CutID: cutID, File: file}
	case r.Code != "":
		extended, err = a.flow.ExtendByCode(ctx, r.Code)
	case flow.IsLiftAnswer(r.File):
		cutID, err := a.flow.AnswerLift(ctx, r.File)
		if err != nil {
			return control.Answer{Error: err.Error()}
		}
		return control.Answer{Lifting: cutID}
	default:
		extended, err = a.flow.ExtendByFile(ctx, r.File)
	}
	if err != nil {
		return control.Answer{Error: err.Error()}
	}
	return control.Answer{Added: extended.Added, Until: extended.Until}
}
