package console

import (
	"cmp"
	"slices"
	"strings"
	"time"

	cutoffv1 "cutoff/proto/cutoff/v1"
)

// devicePage is one device.
type devicePage struct {
	deviceRow
	DeviceID  string
	Agent     string
	Enrolled  moment
	PostureAt moment
	Facts     []fact
	Decision  decisionView
	Person    *personRow
	Inventory inventory
	Pending   bool
	CanDecide bool
	Form      cutForm
	// Standing is the state of its standing cut, if there is one.
	Standing *cutRow
}

// fact is one line of posture. Tone keeps unknown apart from good and bad.
type fact struct {
	Name  string
	Value string
	Known bool
	// Reason says why it is not known.
	Reason string
	Tone   string
	Icon   string
}

type decisionView struct {
	Made        bool
	At          moment
	Consequence word
	Rules       []ruleView
}

type ruleView struct {
	Name        string
	Passed      bool
	Consequence string
	Explanation string
}

// inventory is what credentials a device holds, by product; never their values.
type inventory struct {
	Total  int
	Groups []credentialGroup
}

type credentialGroup struct {
	Product string
	Total   int
	Rows    []credentialRow
	More    int
}

type credentialRow struct {
	User, Path  string
	Identifiers []identifier
	Expires     moment
	Connector   string
	Held        bool
}

type identifier struct{ Kind, Value string }

// credentialsAGroup is how many credentials of one product a page lists.
const credentialsAGroup = 50

// loadDevice asks for everything that the page of one device shows.
func (c *Console) loadDevice(r request) (devicePage, error) {
	if err := c.need(r, "GetDevice"); err != nil {
		return devicePage{}, err
	}
	answer, err := c.Admin.GetDevice(r.ctx, &cutoffv1.GetDeviceRequest{Device: r.PathValue("id")})
	if err != nil {
		return devicePage{}, err
	}
	d, now := answer.GetDevice(), c.Now()
	p := devicePage{
		deviceRow: rowOf(d, now), DeviceID: d.GetDeviceId(), Agent: d.GetAgentVersion(),
		Enrolled: momentOf(d.GetEnrolledAt(), now), PostureAt: momentOf(d.GetPostureAt(), now),
		Facts: factsOf(d.GetPosture()), Decision: decisionOf(d.GetDecision(), now),
		Inventory: inventoryOf(d.GetCredentials(), now),
		Pending:   d.GetState() == "pending", CanDecide: c.May(r.actor.Role, "DecideDevice"),
		Form: deviceForm(d),
	}
	p.Form.Can = c.May(r.actor.Role, "OpenCut")
	p.Form.CanPreview = c.May(r.actor.Role, "PreviewCut")
	if id := d.GetPersonId(); id != "" {
		p.Person = &personRow{ID: id, Name: id}
		// A device is worth showing without the name of its person.
		if answer, err := c.Admin.GetPerson(r.ctx, &cutoffv1.GetPersonRequest{Person: id}); err == nil {
			row := personOf(answer.GetPerson())
			p.Person = &row
		} else {
			c.note(r.Request, err)
		}
	}
	if id := d.GetCutId(); id != "" {
		if answer, err := c.Admin.GetCut(r.ctx, &cutoffv1.GetCutRequest{Id: id}); err == nil {
			row := cutRowOf(theCut(answer, id), now)
			p.Standing = &row
			p.Form.Standing = &row
		} else {
			c.note(r.Request, err)
		}
	}
	return p, nil
}

// protection reports whether a fact's "no" is bad in itself, whatever the policy.
func protection(name string) bool {
	return named(name, "encrypt", "firewall", "secure_boot", "screen_lock", "antivirus", "gatekeeper")
}

// alarm reports whether a fact's "yes" is bad in itself.
func alarm(name string) bool { return named(name, "tamper", "clone", "rollback") }

func factsOf(posture []*cutoffv1.PostureFact) []fact {
	facts := make([]fact, 0, len(posture))
	for _, f := range posture {
		facts = append(facts, factOf(f))
	}
	slices.SortStableFunc(facts, func(a, b fact) int { return cmp.Compare(factRank(a), factRank(b)) })
	return facts
}

func factRank(f fact) int {
	switch f.Tone {
	case "bad":
		return 0
	case "unknown":
		return 1
	default:
		return 2
	}
}

func factOf(f *cutoffv1.PostureFact) fact {
	v := fact{
		Name:  strings.NewReplacer("_", " ", ".", " ").Replace(visible(f.GetName())),
		Value: visible(f.GetValue()), Known: f.GetKnown(), Reason: visible(f.GetReason()),
	}
	v.Name = strings.TrimSuffix(asSentence(v.Name), ".")
	if v.Name == "Os" || strings.HasPrefix(v.Name, "Os ") {
		v.Name = "OS" + v.Name[2:]
	}
	yes, no := isYes(f.GetValue()), isNo(f.GetValue())
	switch {
	case !v.Known:
		v.Tone, v.Icon = "unknown", "unknown"
		if v.Reason == "" {
			v.Reason = "the agent gave no reason"
		}
	case protection(f.GetName()) && no, alarm(f.GetName()) && yes:
		v.Tone, v.Icon = "bad", "blocked"
	case protection(f.GetName()) && yes, alarm(f.GetName()) && no:
		v.Tone, v.Icon = "good", "accepted"
	default:
		v.Tone, v.Icon = "plain", ""
	}
	if t, err := time.Parse(time.RFC3339, f.GetValue()); err == nil && v.Known {
		v.Value = t.UTC().Format("2 Jan 2006 15:04:05 UTC")
	}
	if v.Known && (yes || no) {
		v.Value = map[bool]string{true: "yes", false: "no"}[yes]
	}
	return v
}

func named(name string, parts ...string) bool {
	name = strings.ToLower(name)
	return slices.ContainsFunc(parts, func(part string) bool { return strings.Contains(name, part) })
}

func isYes(value string) bool {
	return slices.Contains([]string{"true", "yes", "on", "enabled"}, strings.ToLower(value))
}

func isNo(value string) bool {
	return slices.Contains([]string{"false", "no", "off", "disabled"}, strings.ToLower(value))
}

func decisionOf(d *cutoffv1.Decision, now time.Time) decisionView {
	v := decisionView{
		Made: d != nil, At: momentOf(d.GetAt(), now), Consequence: consequenceWord(d.GetConsequence()),
	}
	for _, rule := range d.GetRules() {
		v.Rules = append(v.Rules, ruleView{
			Name: visible(rule.GetRule()), Passed: rule.GetPassed(),
			Consequence: rule.GetConsequence(), Explanation: visible(rule.GetExplanation()),
		})
	}
	slices.SortStableFunc(v.Rules, func(a, b ruleView) int {
		return cmp.Compare(boolRank(a.Passed), boolRank(b.Passed))
	})
	return v
}

func consequenceWord(consequence string) word {
	switch consequence {
	case "none", "":
		return word{"no consequence", "accepted", "good", "every rule of its group held"}
	case "warn":
		return word{"warned", "warned", "wait", "a rule does not hold; nothing is cut"}
	case "seal":
		return word{"to be sealed", "sealed", "bad", "a rule does not hold whose consequence is a seal"}
	default:
		return word{consequence, "unknown", "dull", "unknown to this console"}
	}
}

func boolRank(b bool) int {
	if b {
		return 1
	}
	return 0
}

func inventoryOf(credentials []*cutoffv1.Credential, now time.Time) inventory {
	by := map[string]*credentialGroup{}
	var names []string
	for _, cred := range credentials {
		product := productName(cred.GetProduct())
		group, ok := by[product]
		if !ok {
			group = &credentialGroup{Product: product}
			by[product] = group
			names = append(names, product)
		}
		group.Total++
		if len(group.Rows) == credentialsAGroup {
			group.More++
			continue
		}
		group.Rows = append(group.Rows, credentialRow{
			User: visible(cred.GetUser()), Path: visible(cred.GetPath()),
			Identifiers: identifiersOf(cred.GetIdentifiers()), Expires: momentOf(cred.GetExpiresAt(), now),
			Connector: visible(cred.GetConnector()), Held: cred.GetHeld(),
		})
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Compare(strings.ToLower(a), strings.ToLower(b))
	})
	v := inventory{Total: len(credentials)}
	for _, name := range names {
		v.Groups = append(v.Groups, *by[name])
	}
	return v
}

func identifiersOf(all []*cutoffv1.Identifier) []identifier {
	var out []identifier
	for i, id := range all {
		if i == 4 {
			out = append(out, identifier{Kind: "more", Value: plural(len(all)-i, "identifier", "identifiers")})
			break
		}
		out = append(out, identifier{Kind: visible(id.GetKind()), Value: visible(id.GetValue())})
	}
	return out
}

func productName(product string) string {
	if product == "" {
		return "other"
	}
	return visible(product)
}
