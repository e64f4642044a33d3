package policy_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"cutoff/server/fault"
	"cutoff/server/policy"
	"cutoff/server/posture"
)

var now = time.Date(2026, 11, 23, 3, 0, 0, 0, time.UTC)

func text(name, value string) posture.Fact {
	return posture.Fact{Name: name, Known: true, Text: value}
}

func flag(name string, value bool) posture.Fact {
	return posture.Fact{Name: name, Known: true, Flag: &value}
}

func unknown(name, reason string) posture.Fact { return posture.Fact{Name: name, Reason: reason} }

// laptop is a good report.
func laptop() []posture.Fact {
	return []posture.Fact{
		text("os", "linux"), text("os_version", "24.10"), text("hostname", "alice-laptop"), text("serial", "PF1"),
		{Name: "boot_time", Known: true, Time: now.Add(-48 * time.Hour)},
		flag("disk_encrypted", true), flag("firewall_on", true), text("agent_version", "1.4.0"),
	}
}

// with is laptop's report with one fact replaced.
func with(f posture.Fact) []posture.Fact {
	all := slices.DeleteFunc(laptop(), func(o posture.Fact) bool { return o.Name == f.Name })
	return append(all, f)
}

func rule(when, more string) string {
	return fmt.Sprintf("groups:\n  default:\n    rules:\n      - name: r\n        when: %s\n        consequence: seal\n%s", when, more)
}

func parse(t testing.TB, yaml string) *policy.Policy {
	t.Helper()
	p, problems := policy.Parse([]byte(yaml), []string{"default", "lab"})
	if len(problems) > 0 {
		t.Fatalf("%v\n%s", problems, yaml)
	}
	return p
}

func TestRulesAreHeldAgainstTypedFacts(t *testing.T) {
	cases := []struct {
		name   string
		when   string
		facts  []posture.Fact
		passed bool
	}{
		{"a true fact", "posture.disk_encrypted", laptop(), true},
		{"a false fact", "posture.disk_encrypted", with(flag("disk_encrypted", false)), false},
		{"a text", `posture.os == "linux" && posture.hostname.startsWith("alice-")`, laptop(), true},
		{"a time", `now - posture.boot_time < duration("72h")`, laptop(), true},
		{"a time too long ago", `now - posture.boot_time < duration("24h")`, laptop(), false},
		{"a version that is newer", `posture.os_version.atLeast("24.9")`, laptop(), true},
		{"a version that is older", `posture.os_version.atLeast("24.10.1")`, laptop(), false},
		{"a version of another make", `posture.agent_version.atLeast("1.4.0-rc1")`, laptop(), false},
		{"the device", `device.id == "dev_1" && device.hostname == "alice-laptop" && !device.trial`, laptop(), true},
		{"its group", `group == "default" && device.group == group`, laptop(), true},
		{"a pattern", `posture.serial.matches("^PF[0-9]+$")`, laptop(), true},
		{"a list", `posture.os in ["linux", "darwin"]`, laptop(), true},
	}
	for _, c := range cases {
		results := parse(t, rule("'"+c.when+"'", "")).Evaluate(
			policy.Subject{ID: "dev_1", Group: "default", Hostname: "alice-laptop"}, c.facts, now)
		if len(results) != 1 || results[0].Passed != c.passed || results[0].Error != "" || results[0].Undecided {
			t.Errorf("%s: got %+v, want passed %v", c.name, results, c.passed)
		}
	}
}

func TestAnUnknownFactFailsUnlessTheRuleSaysOtherwise(t *testing.T) {
	const pass = "        unknown: pass\n"
	wrong := int64(1)
	cases := []struct {
		name      string
		when      string
		more      string
		fact      posture.Fact
		passed    bool
		undecided bool
	}{
		{"unknown", "posture.disk_encrypted", "", unknown("disk_encrypted", "lsblk is not there"), false, true},
		{"unknown, negated", "'!posture.disk_encrypted'", "", unknown("disk_encrypted", "x"), false, true},
		{"unknown, allowed", "posture.disk_encrypted", pass, unknown("disk_encrypted", "x"), true, true},
		{"unknown that does not matter", `posture.disk_encrypted || posture.os == "linux"`, "", unknown("disk_encrypted", "x"), true, false},
		{"unknown beside a failure", `posture.disk_encrypted && posture.os == "windows"`, pass, unknown("disk_encrypted", "x"), false, false},
		{"not reported at all", "posture.disk_encrypted", "", text("other", "x"), false, true},
		{"of another type", "posture.disk_encrypted", "", text("disk_encrypted", "true"), false, true},
		{"a number for a text", `posture.os == "linux"`, "", posture.Fact{Name: "os", Known: true, Number: &wrong}, false, true},
	}
	for _, c := range cases {
		facts := with(c.fact)
		if c.fact.Name == "other" {
			facts = []posture.Fact{c.fact}
		}
		got := parse(t, rule(c.when, c.more)).Evaluate(policy.Subject{Group: "default"}, facts, now)[0]
		if got.Passed != c.passed || got.Undecided != c.undecided || got.Error != "" {
			t.Errorf("%s: got %+v, want passed %v, undecided %v", c.name, got, c.passed, c.undecided)
		}
	}
}

func TestAResultNamesTheFactsItRests(t *testing.T) {
	p := parse(t, rule(`posture.disk_encrypted && posture.os == "linux" && device.trial`, "        grace: 24h\n"))
	got := p.Evaluate(policy.Subject{Group: "default"}, with(unknown("disk_encrypted", "no lsblk")), now)[0]
	want := policy.Result{
		Rule: "r", When: `posture.disk_encrypted && posture.os == "linux" && device.trial`, Consequence: policy.Seal,
		Grace: 24 * time.Hour,
		Reads: []policy.Read{
			{Name: "device.trial", Value: "false"},
			{Name: "posture.disk_encrypted", Unknown: "no lsblk"},
			{Name: "posture.os", Value: "linux"},
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

func TestAGroupHasItsOwnRulesAndThoseOfEveryGroup(t *testing.T) {
	p := parse(t, `
groups:
  lab:
    rules:
      - {name: lab-only, when: "true", consequence: none}
  "*":
    rules:
      - {name: everywhere, when: "true", consequence: warn}
`)
	names := func(group string) (all []string) {
		for _, r := range p.Evaluate(policy.Subject{Group: group}, nil, now) {
			all = append(all, r.Rule)
		}
		return all
	}
	if got, want := names("lab"), []string{"everywhere", "lab-only"}; !slices.Equal(got, want) {
		t.Errorf("lab: got %v, want %v", got, want)
	}
	if got, want := names("default"), []string{"everywhere"}; !slices.Equal(got, want) {
		t.Errorf("default: got %v, want %v", got, want)
	}
	var none *policy.Policy
	if got := none.Evaluate(policy.Subject{Group: "lab"}, nil, now); got != nil {
		t.Errorf("without a policy: got %v", got)
	}
}

func TestAFaultIsReportedWithItsLineAndColumn(t *testing.T) {
	cases := []struct {
		name string
		yaml string
		want string
	}{
		{"empty file", "", "1:1: empty file"},
		{"no groups", "{}", "1:1: groups is missing"},
		{"not a map", "- a", "1:1: want a map"},
		{"broken YAML", "groups:\n  default: [", "did not find"},
		{"a tab", "groups:\n\tdefault:", "2:"},
		{"unknown key at the top", "groups: {}\nrules: []", `2:1: unknown key "rules"`},
		{"unknown key in a rule", rule("'true'", "        graze: 1h\n"), `7:9: unknown key "graze"`},
		{"repeated key", rule("'true'", "        when: 'false'\n"), `7:9: key "when" is repeated`},
		{"unknown group", "groups:\n  defualt: {rules: []}", `2:3: no group "defualt"; there are default, lab`},
		{"no such fact", rule("posture.disk_encrypt", ""), "5:15: undeclared reference to 'posture'; known are posture.agent_version, posture.boot_time,"},
		{"no such fact further on", rule(`posture.os == "linux" && posture.nope`, ""), "5:40: undeclared reference"},
		{"quoted", rule(`"true && nope"`, ""), "5:24: undeclared reference to 'nope'"},
		{"in a block", rule("|\n          true &&\n          nope", ""), "7:11: undeclared reference to 'nope'"},
		{"wrong types", rule("posture.os == 7", ""), "5:26: found no matching overload"},
		{"syntax", rule("posture.os ==", ""), "5:28: Syntax error"},
		{"not a truth", rule("posture.os", ""), "5:15: must be true or false, but is string"},
		{"a bad pattern", rule(`posture.os.matches('(')`, ""), "5:"},
		{"too costly", rule(`'[1,2,3,4,5,6,7,8,9].all(a, [1,2,3,4,5,6,7,8,9].all(b, [1,2,3,4,5,6,7,8,9].all(c, [1,2,3,4,5,6,7,8,9].all(d, a+b+c+d > 0))))'`, ""), "5:15: may cost too much"},
		{"too nested", rule("'"+strings.Repeat("(", 200)+"true"+strings.Repeat(")", 200)+"'", ""), "5:"},
		{"too long", rule("'\""+strings.Repeat("a", 5000)+"\" == \"\"'", ""), "5:"},
		{"no consequence", "groups:\n  default:\n    rules:\n      - name: r\n        when: 'true'\n", "4:9: consequence is missing"},
		{"another consequence", strings.Replace(rule("'true'", ""), "seal", "destroy", 1), `6:22: "destroy" is none of none, warn, seal`},
		{"a bad grace", rule("'true'", "        grace: soon\n"), "7:16: want a duration"},
		{"a negative grace", rule("'true'", "        grace: -1h\n"), "7:16: want a duration from"},
		{"a bad unknown", rule("'true'", "        unknown: maybe\n"), `7:18: "maybe" is none of fail, pass`},
		{"a bad name", strings.Replace(rule("'true'", ""), "name: r", "name: R 1", 1), "4:15: a rule's name"},
		{"a name twice", rule("'true'", "      - {name: r, when: 'true', consequence: none}\n"), `7:9: rule "r" is there twice`},
		{"a name twice over every group", rule("'true'", "  '*':\n    rules:\n      - {name: r, when: 'true', consequence: none}\n"), `4:9: rule "r" is there twice`},
		{"an anchor", "groups: &a {}\n", "1:9: anchors"},
		{"two documents", "groups: {}\n---\ngroups: {}\n", "a second document"},
		{"not text", "groups: {}\n# \xff\n", "2:3: not UTF-8"},
		{"too large", "groups: {}\n#" + strings.Repeat("x", policy.MaxFile), "1:1: file of"},
	}
	for _, c := range cases {
		p, problems := policy.Parse([]byte(c.yaml), []string{"default", "lab"})
		if p != nil || len(problems) == 0 {
			t.Errorf("%s: no problem found", c.name)
			continue
		}
		if got := fmt.Sprint(problems); !strings.Contains(got, c.want) {
			t.Errorf("%s: got %s, want %q", c.name, got, c.want)
		}
	}
}

func TestAllFaultsOfAFileAreReportedAtOnce(t *testing.T) {
	_, problems := policy.Parse([]byte(`
groups:
  default:
    rules:
      - name: one
        when: nope
        consequence: warn
      - name: two
        when: posture.os
        consequence: destroy
`), []string{"default"})
	lines := []int{}
	for _, p := range problems {
		lines = append(lines, p.Line)
	}
	slices.Sort(lines)
	if want := []int{6, 9, 10}; !slices.Equal(lines, want) {
		t.Errorf("got %v in lines %v, want lines %v", problems, lines, want)
	}
	if err := problems.Err("policy.yaml"); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "policy.yaml:6:15: ") {
		t.Errorf("got %v", err)
	}
}

func TestAnExpressionThatFailsAtRunTimeFailsItsRule(t *testing.T) {
	p := parse(t, rule(`int(posture.os_version) > 3`, "        unknown: pass\n"))
	got := p.Evaluate(policy.Subject{Group: "default"}, laptop(), now)[0]
	if got.Passed || got.Error == "" {
		t.Errorf("got %+v, want a failure with its error", got)
	}
}

func TestTheStrongestConsequenceWins(t *testing.T) {
	all := []policy.Consequence{policy.None, policy.Warn, policy.Seal}
	for i, a := range all {
		for j, b := range all {
			if got, want := a.Stronger(b), all[max(i, j)]; got != want {
				t.Errorf("%s, %s: got %s, want %s", a, b, got, want)
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(rule("posture.disk_encrypted", "        grace: 1h\n        unknown: pass\n")))
	f.Add([]byte(rule("|\n          posture.os == \"x\" &&\n          nope", "")))
	f.Add([]byte("groups: {}"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, problems := policy.Parse(raw, []string{"default"})
		if (p == nil) != (len(problems) > 0) {
			t.Fatalf("policy %v with problems %v", p, problems)
		}
		for _, problem := range problems {
			if problem.Line < 1 || problem.Column < 1 || problem.Message == "" {
				t.Errorf("a problem without its place: %+v", problem)
			}
		}
		p.Evaluate(policy.Subject{Group: "default"}, laptop(), now)
	})
}

func BenchmarkEvaluate(b *testing.B) {
	p := parse(b, rule(`posture.disk_encrypted && posture.os_version.atLeast("22.04")`, ""))
	facts := laptop()
	b.ReportAllocs()
	for b.Loop() {
		p.Evaluate(policy.Subject{Group: "default"}, facts, now)
	}
}
