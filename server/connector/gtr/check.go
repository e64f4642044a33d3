package gtr

import (
	"context"
	"net/http"
	"strconv"

	"cutoff/server/connector/config"
	"cutoff/server/revoke"
)

// Check sends a request that names nobody: a provider that takes this server
// calls it malformed (400), one that does not says 401 or 403. It ends nothing.
func (c *Connector) Check(ctx context.Context) []config.Finding {
	f := config.Finding{Name: "ask to revoke nobody"}
	res, err := c.post(ctx, []byte("{}"))
	if err != nil {
		f.Detail = without(err, revoke.Step{}).Detail
		return []config.Finding{f}
	}
	switch res.Status {
	case http.StatusBadRequest, http.StatusUnprocessableEntity:
		f.OK, f.Detail = true, "the endpoint answers and this server is not refused; a provider that reads the request before it asks who sends it says the same"
	case http.StatusUnauthorized, http.StatusForbidden:
		f.Detail = "denied (" + strconv.Itoa(res.Status) + "): register client_id and the public key at the provider, with the right to revoke"
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		f.Detail = "no such endpoint (" + strconv.Itoa(res.Status) + "): look at endpoint"
	default:
		f.Detail = "unexpected answer (" + strconv.Itoa(res.Status) + ")"
	}
	return []config.Finding{f}
}
