package daemon_test

import (
	"testing"

	cutoffv1 "cutoff/proto/cutoff/v1"
)

func TestAFailedTestOfAConnectorIsItsHealth(t *testing.T) {
	admin := start(t, t.TempDir()).socket()
	_, err := admin.AddConnector(t.Context(), &cutoffv1.AddConnectorRequest{
		Name: "sso", Kind: "oidc",
		Config: "issuer: https://127.0.0.1:1\nclient: {id: cutoff, auth: none}\naccess_token_life: 1h\n",
	})
	if err != nil {
		t.Fatal(err)
	}
	answer, err := admin.TestConnector(t.Context(), &cutoffv1.TestConnectorRequest{Name: "sso"})
	if err != nil || len(answer.GetChecks()) == 0 || answer.GetChecks()[0].GetOk() {
		t.Fatalf("a provider that is not there: %v, %v", answer, err)
	}
	list, err := admin.ListConnectors(t.Context(), &cutoffv1.ListConnectorsRequest{})
	if err != nil || len(list.GetConnectors()) != 1 {
		t.Fatalf("got %v, %v", list, err)
	}
	if c := list.GetConnectors()[0]; c.GetHealth() != "failing" || c.GetHealthDetail() == "" {
		t.Errorf("its health is %q (%q) after a failed test", c.GetHealth(), c.GetHealthDetail())
	}
}
