package console

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strings"

	cutoffv1 "cutoff/proto/cutoff/v1"
)

// changeRow is one change of what is added to the agents' catalogue.
type changeRow struct {
	ID, Products, Canary, Reason, By string
	State                            word
	Version                          int64
	Asked, Counted                   moment
	// Steps are who decided, in order.
	Steps []changeStep
	Count *cutoffv1.CatalogueCount
	// Groups are the count's, Problems what devices said instead of an answer.
	Groups   []*cutoffv1.CatalogueGroupCount
	Problems []string
	Files    []changeFile
	// Planned, Devices, Matching and Items are the canary group's reports.
	Live                              bool
	Planned, Devices, Matching, Items int32
	// What may be done with it by who looks.
	CanApprove, CanPromote, CanWithdraw, CanCount bool
	// Own: who looks asked for it, so another person has to decide.
	Own bool
}

type changeStep struct {
	What, By string
	At       moment
}

type changeFile struct{ Name, YAML string }

// groupRow is what one group chose.
type groupRow struct {
	Name, Keyring                 string
	Accounts, Policies, WorkTrees string
	Enrich                        bool
	Devices                       int32
	Version                       int64
}

type cataloguePage struct {
	Rows    []changeRow
	Groups  []groupRow
	Waiting int
}

func (c *Console) catalogue(w http.ResponseWriter, r request) error {
	if err := c.need(r, "ListCatalogue"); err != nil {
		return err
	}
	answer, err := c.Admin.ListCatalogue(r.ctx, &cutoffv1.ListCatalogueRequest{})
	if err != nil {
		return err
	}
	var data cataloguePage
	for _, k := range answer.GetChanges() {
		if k.GetState() == "proposed" {
			data.Waiting++
		}
		data.Rows = append(data.Rows, c.changeOf(r, k))
	}
	slices.SortStableFunc(data.Rows, func(a, b changeRow) int {
		return cmp.Compare(boolRank(a.State.Word == "withdrawn"), boolRank(b.State.Word == "withdrawn"))
	})
	if c.May(r.actor.Role, "ListGroups") {
		groups, err := c.Admin.ListGroups(r.ctx, &cutoffv1.ListGroupsRequest{})
		if err != nil {
			return err
		}
		for _, g := range groups.GetGroups() {
			data.Groups = append(data.Groups, groupRow{
				Name: visible(g.GetGroup()), Keyring: cmp.Or(g.GetKeyring(), "catalogue"), Accounts: words(g.GetAccounts()),
				Policies: words(g.GetPolicies()), WorkTrees: words(g.GetWorkTrees()), Enrich: g.GetEnrich(),
				Devices: g.GetDevices(), Version: g.GetCatalogueVersion(),
			})
		}
	}
	c.show(w, http.StatusOK, "catalogue", r.page("Catalogue", "catalogue", data))
	return nil
}

func words(list []string) string { return visible(strings.Join(list, ", ")) }

func (c *Console) changeOf(r request, k *cutoffv1.CatalogueChange) changeRow {
	now := c.Now()
	row := changeRow{
		ID: k.GetChangeId(), Products: words(k.GetProducts()), Canary: visible(k.GetCanary()), Reason: visible(k.GetReason()),
		By: visible(k.GetAskedBy()), State: changeWord(k.GetState()), Version: k.GetVersion(), Asked: momentOf(k.GetAskedAt(), now),
		Count: k.GetCount(), Groups: k.GetCount().GetGroups(), Counted: momentOf(k.GetCount().GetAt(), now),
		Live:    k.GetState() == "canary" || k.GetState() == "active",
		Planned: k.GetCanaryPlanned(), Devices: k.GetCanaryDevices(), Matching: k.GetCanaryMatching(), Items: k.GetCanaryItems(),
		Own: k.GetAskedBy() == r.actor.Name,
	}
	for _, p := range k.GetCount().GetProblems() {
		row.Problems = append(row.Problems, visible(p))
	}
	for _, f := range k.GetFiles() {
		row.Files = append(row.Files, changeFile{Name: visible(f.GetName()), YAML: f.GetYaml()})
	}
	for _, s := range []changeStep{
		{"approved for " + row.Canary, k.GetApprovedBy(), momentOf(k.GetApprovedAt(), now)},
		{"promoted to all", k.GetPromotedBy(), momentOf(k.GetPromotedAt(), now)},
		{"withdrawn", k.GetWithdrawnBy(), momentOf(k.GetWithdrawnAt(), now)},
	} {
		if s.By != "" {
			s.By = visible(s.By)
			row.Steps = append(row.Steps, s)
		}
	}
	role := r.actor.Role
	row.CanApprove = k.GetState() == "proposed" && !row.Own && c.May(role, "ApproveCatalogue")
	row.CanPromote = k.GetState() == "canary" && !row.Own && c.May(role, "PromoteCatalogue")
	row.CanCount = k.GetState() == "proposed" && c.May(role, "CountCatalogue")
	row.CanWithdraw = k.GetState() != "withdrawn" && c.May(role, "WithdrawCatalogue")
	return row
}

func changeWord(state string) word {
	switch state {
	case "proposed":
		return word{"proposed", "held", "warn", "no device has it: another person approves it"}
	case "canary":
		return word{"canary", "accepted", "warn", "its canary group goes by it"}
	case "active":
		return word{"active", "accepted", "good", "every group goes by it"}
	case "withdrawn":
		return word{"withdrawn", "settled", "dull", "taken back"}
	default:
		return word{state, "unknown", "dull", ""}
	}
}

// onChange does one step of a change and shows the list again.
func (c *Console) onChange(method string, do func(request, string) error) handler {
	return func(w http.ResponseWriter, r request) error {
		if err := c.need(r, method); err != nil {
			return err
		}
		if err := do(r, r.PathValue("id")); err != nil {
			return err
		}
		http.Redirect(w, r.Request, (&url.URL{Path: "/catalogue"}).String(), http.StatusSeeOther)
		return nil
	}
}

func (c *Console) approveChange(r request, id string) error {
	_, err := c.Admin.ApproveCatalogue(r.ctx, &cutoffv1.ApproveCatalogueRequest{ChangeId: id})
	return err
}

func (c *Console) promoteChange(r request, id string) error {
	_, err := c.Admin.PromoteCatalogue(r.ctx, &cutoffv1.PromoteCatalogueRequest{ChangeId: id})
	return err
}

func (c *Console) withdrawChange(r request, id string) error {
	_, err := c.Admin.WithdrawCatalogue(r.ctx, &cutoffv1.WithdrawCatalogueRequest{ChangeId: id})
	return err
}

func (c *Console) countChange(r request, id string) error {
	_, err := c.Admin.CountCatalogue(r.ctx, &cutoffv1.CountCatalogueRequest{ChangeId: id})
	return err
}
