package console

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/server/fault"
)

// personRow is one person of the list.
type personRow struct {
	ID, Name, Email string
	Accounts        []accountView
	Devices         []string
}

type accountView struct{ Connector, Account string }

func personName(p *cutoffv1.Person) string {
	for _, name := range []string{p.GetName(), p.GetEmail(), p.GetPersonId()} {
		if name = strings.TrimSpace(visible(name)); name != "" {
			return name
		}
	}
	return "unnamed"
}

func personOf(p *cutoffv1.Person) personRow {
	row := personRow{
		ID: p.GetPersonId(), Name: personName(p), Email: visible(p.GetEmail()), Devices: p.GetDeviceIds(),
	}
	for _, a := range p.GetAccounts() {
		row.Accounts = append(row.Accounts, accountView{
			Connector: visible(a.GetConnector()), Account: visible(a.GetAccount()),
		})
	}
	return row
}

type peoplePage struct{ Rows []personRow }

func (c *Console) people(w http.ResponseWriter, r request) error {
	if err := c.need(r, "ListPeople"); err != nil {
		return err
	}
	answer, err := c.Admin.ListPeople(r.ctx, &cutoffv1.ListPeopleRequest{})
	if err != nil {
		return err
	}
	var data peoplePage
	for _, p := range answer.GetPeople() {
		data.Rows = append(data.Rows, personOf(p))
	}
	slices.SortStableFunc(data.Rows, func(a, b personRow) int {
		return cmp.Or(cmp.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)), cmp.Compare(a.ID, b.ID))
	})
	c.show(w, http.StatusOK, "people", r.page("People", "people", data))
	return nil
}

// personPage is one person: accounts, devices and the form to cut them all.
type personPage struct {
	personRow
	Rows []deviceRow
	Form cutForm
}

func (c *Console) person(w http.ResponseWriter, r request) error {
	data, err := c.loadPerson(r)
	if err != nil {
		return err
	}
	c.show(w, http.StatusOK, "person", r.page(data.Name, "people", data))
	return nil
}

func (c *Console) loadPerson(r request) (personPage, error) {
	if err := c.need(r, "GetPerson"); err != nil {
		return personPage{}, err
	}
	answer, err := c.Admin.GetPerson(r.ctx, &cutoffv1.GetPersonRequest{Person: r.PathValue("id")})
	if err != nil {
		return personPage{}, err
	}
	p := personPage{personRow: personOf(answer.GetPerson()), Form: personForm(answer.GetPerson())}
	p.Form.Can = c.May(r.actor.Role, "OpenCut")
	p.Form.CanPreview = c.May(r.actor.Role, "PreviewCut")
	for _, id := range p.Devices {
		// A person is worth showing without the state of a device.
		row := deviceRow{ID: id, Name: id}
		if answer, err := c.Admin.GetDevice(r.ctx, &cutoffv1.GetDeviceRequest{Device: id}); err == nil {
			row = rowOf(answer.GetDevice(), c.Now())
		} else {
			c.note(r.Request, err)
		}
		p.Rows = append(p.Rows, row)
	}
	return p, nil
}

type connectorRow struct {
	Name, Kind, Product string
	Health              word
	Detail              string
	Used, Added         moment
}

type connectorsPage struct {
	Rows    []connectorRow
	Failing int
}

func (c *Console) connectors(w http.ResponseWriter, r request) error {
	if err := c.need(r, "ListConnectors"); err != nil {
		return err
	}
	answer, err := c.Admin.ListConnectors(r.ctx, &cutoffv1.ListConnectorsRequest{})
	if err != nil {
		return err
	}
	now, data := c.Now(), connectorsPage{}
	for _, k := range answer.GetConnectors() {
		if k.GetHealth() == "failing" {
			data.Failing++
		}
		data.Rows = append(data.Rows, connectorRow{
			Name: visible(k.GetName()), Kind: k.GetKind(), Product: visible(k.GetProduct()),
			Health: healthWord(k.GetHealth()), Detail: visible(k.GetHealthDetail()),
			Used: momentOf(k.GetLastUsed(), now), Added: momentOf(k.GetAddedAt(), now),
		})
	}
	slices.SortStableFunc(data.Rows, func(a, b connectorRow) int {
		return cmp.Or(cmp.Compare(boolRank(a.Health.Tone != "bad"), boolRank(b.Health.Tone != "bad")),
			cmp.Compare(a.Name, b.Name))
	})
	c.show(w, http.StatusOK, "connectors", r.page("Connectors", "connectors", data))
	return nil
}

func healthWord(health string) word {
	switch health {
	case "ok":
		return word{"ok", "accepted", "good", "its last call was answered"}
	case "failing":
		return word{"failing", "blocked", "bad", "its last calls were not answered"}
	default:
		return word{"not known", "unknown", "dull", "never used since the server started"}
	}
}

type tokenRow struct {
	ID, Group, By string
	Used, Uses    int32
	State         word
	Live          bool
	Expires       moment
}

type tokensPage struct {
	Rows      []tokenRow
	Groups    []choice
	Can       bool
	CanRevoke bool
	// Fresh is the token just made; it is shown this once.
	Fresh     string
	FreshInfo tokenRow
	Problem   string
	Uses      string
	Hours     string
	FormToken string
}

func (c *Console) tokens(w http.ResponseWriter, r request) error {
	data, err := c.loadTokens(r)
	if err != nil {
		return err
	}
	c.show(w, http.StatusOK, "tokens", r.page("Enrolment", "tokens", data))
	return nil
}

func (c *Console) loadTokens(r request) (tokensPage, error) {
	data := tokensPage{
		Can: c.May(r.actor.Role, "CreateToken"), CanRevoke: c.May(r.actor.Role, "RevokeToken"),
		Uses: "1", Hours: "1", FormToken: formToken(r.token),
	}
	if err := c.need(r, "ListTokens"); err != nil {
		return data, err
	}
	answer, err := c.Admin.ListTokens(r.ctx, &cutoffv1.ListTokensRequest{})
	if err != nil {
		return data, err
	}
	now := c.Now()
	for _, t := range answer.GetTokens() {
		data.Rows = append(data.Rows, tokenOf(t, now))
	}
	slices.SortStableFunc(data.Rows, func(a, b tokenRow) int {
		return cmp.Compare(boolRank(!a.Live), boolRank(!b.Live))
	})
	if data.Can && c.May(r.actor.Role, "ListGroups") {
		groups, err := c.Admin.ListGroups(r.ctx, &cutoffv1.ListGroupsRequest{})
		if err != nil {
			return data, err
		}
		chosen := cmp.Or(r.PostFormValue("group"), "default")
		for _, g := range groups.GetGroups() {
			data.Groups = append(data.Groups, choice{
				Value: g.GetGroup(), Label: visible(g.GetGroup()), Chosen: g.GetGroup() == chosen,
			})
		}
	}
	return data, nil
}

func tokenOf(t *cutoffv1.Token, now time.Time) tokenRow {
	row := tokenRow{
		ID: t.GetTokenId(), Group: visible(t.GetGroup()), By: visible(t.GetCreatedBy()),
		Used: t.GetUsed(), Uses: t.GetUses(),
		Live: t.GetState() == "live", Expires: momentOf(t.GetExpiresAt(), now),
	}
	switch t.GetState() {
	case "live":
		row.State = word{"live", "accepted", "good", "enrols devices"}
	case "used-up":
		row.State = word{"used up", "settled", "dull", "every use is spent"}
	case "expired":
		row.State = word{"expired", "unreachable", "dull", "its time is over"}
	case "revoked":
		row.State = word{"revoked", "blocked", "dull", "taken back"}
	default:
		row.State = word{t.GetState(), "unknown", "dull", ""}
	}
	return row
}

// createToken shows the new token in its answer, once: only its hash is kept.
func (c *Console) createToken(w http.ResponseWriter, r request) error {
	if err := c.need(r, "CreateToken"); err != nil {
		return err
	}
	uses, hours := strings.TrimSpace(r.PostFormValue("uses")), strings.TrimSpace(r.PostFormValue("hours"))
	u, errUses := strconv.ParseInt(uses, 10, 32)
	h, errHours := strconv.ParseFloat(hours, 64)
	var problem string
	var made *cutoffv1.CreateTokenResponse
	code := http.StatusOK
	switch {
	case errUses != nil || u < 1:
		problem, code = "Uses is a whole number from 1 up.", http.StatusUnprocessableEntity
	case errHours != nil || !(h*60 >= 1 && h <= 24*365):
		problem, code = "Lifetime is a number of hours, from 0.02 to 8760.", http.StatusUnprocessableEntity
	default:
		answer, err := c.Admin.CreateToken(r.ctx, &cutoffv1.CreateTokenRequest{
			Group: r.PostFormValue("group"), Uses: int32(u),
			TtlMs: time.Duration(h * float64(time.Hour)).Milliseconds(),
		})
		if err != nil {
			c.note(r.Request, err)
			problem, code = sentence(err), status(err)
		}
		made = answer
	}
	data, err := c.loadTokens(r)
	if err != nil {
		return err
	}
	data.Problem, data.Uses, data.Hours = problem, uses, hours
	if made != nil {
		data.Fresh, data.FreshInfo = made.GetToken(), tokenOf(made.GetInfo(), c.Now())
		data.Uses, data.Hours = "1", "1"
	}
	c.show(w, code, "tokens", r.page("Enrolment", "tokens", data))
	return nil
}

func (c *Console) revokeToken(w http.ResponseWriter, r request) error {
	if err := c.need(r, "RevokeToken"); err != nil {
		return err
	}
	if _, err := c.Admin.RevokeToken(r.ctx, &cutoffv1.RevokeTokenRequest{TokenId: r.PathValue("id")}); err != nil {
		return err
	}
	http.Redirect(w, r.Request, (&url.URL{Path: "/tokens"}).String(), http.StatusSeeOther)
	return nil
}

type policyPage struct {
	Version int64
	YAML    string
	By      string
	At      moment
}

func (c *Console) policy(w http.ResponseWriter, r request) error {
	if err := c.need(r, "GetPolicy"); err != nil {
		return err
	}
	answer, err := c.Admin.GetPolicy(r.ctx, &cutoffv1.GetPolicyRequest{})
	if err != nil && kindOf(err) == fault.NotFound {
		answer, err = &cutoffv1.GetPolicyResponse{}, nil
	}
	if err != nil {
		return err
	}
	c.show(w, http.StatusOK, "policy", r.page("Policy", "policy", policyPage{
		Version: answer.GetVersion(), YAML: answer.GetYaml(),
		By: visible(answer.GetAppliedBy()), At: momentOf(answer.GetAppliedAt(), c.Now()),
	}))
	return nil
}
