package policy

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/checker"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"cutoff/server/document"
	"cutoff/server/posture"
)

// Limits of one expression: its size, and what evaluating it may cost in CEL's
// units (about one a simple operation), as estimated and as measured.
const (
	maxExpression = 4096
	maxNesting    = 40
	maxRegexp     = 1000
	maxEstimate   = 20_000
	maxCost       = 50_000
	maxFactText   = 512
)

// facts are the posture facts an expression may read, with their types.
func facts() map[string]*cel.Type {
	return map[string]*cel.Type{
		"os": cel.StringType, "os_version": cel.StringType, "hostname": cel.StringType, "serial": cel.StringType,
		"boot_time": cel.TimestampType, "disk_encrypted": cel.BoolType, "firewall_on": cel.BoolType,
		"agent_version": cel.StringType,
	}
}

// posturePrefix goes before a fact's name in an expression.
const posturePrefix = "posture."

// environment is what expressions are checked against: the typed facts of the
// device, the device itself, its group and the time.
func environment() (*cel.Env, error) {
	options := []cel.EnvOption{
		cel.ParserExpressionSizeLimit(maxExpression),
		cel.ParserRecursionLimit(maxNesting),
		cel.RegexProgramSizeLimit(maxRegexp),
		cel.ASTValidators(cel.ValidateRegexLiterals(), cel.ValidateDurationLiterals(), cel.ValidateTimestampLiterals()),
		cel.Variable("device.id", cel.StringType),
		cel.Variable("device.group", cel.StringType),
		cel.Variable("device.hostname", cel.StringType),
		cel.Variable("device.trial", cel.BoolType),
		cel.Variable("group", cel.StringType),
		cel.Variable("now", cel.TimestampType),
		cel.Function("atLeast", cel.MemberOverload("string_at_least_string",
			[]*cel.Type{cel.StringType, cel.StringType}, cel.BoolType, cel.BinaryBinding(atLeast))),
	}
	for name, kind := range facts() {
		options = append(options, cel.Variable(posturePrefix+name, kind))
	}
	return cel.NewEnv(options...)
}

// atLeast compares versions number by number: "24.10".atLeast("24.9").
func atLeast(have, want ref.Val) ref.Val {
	h, ok := have.Value().(string)
	w, ok2 := want.Value().(string)
	if !ok || !ok2 {
		return types.NewErr("atLeast compares two texts")
	}
	return types.Bool(slices.Compare(numbers(h), numbers(w)) >= 0)
}

// numbers are the numbers in a version; all that is not a digit parts them.
func numbers(version string) []int {
	var all []int
	for _, part := range strings.FieldsFunc(version, func(r rune) bool { return r < '0' || r > '9' }) {
		n, err := strconv.Atoi(part)
		if err != nil {
			n = int(^uint(0) >> 1) // longer than any number: more than all
		}
		all = append(all, n)
	}
	return all
}

// expression is one checked and planned expression.
type expression struct {
	program cel.Program
	reads   []string
}

// compile checks the expression in node; what is wrong goes to node's file.
func compile(env *cel.Env, node document.Node) *expression {
	ast, issues := env.Compile(node.Text())
	if issues != nil && issues.Err() != nil {
		for _, e := range issues.Errors() {
			node.FaultAt(e.Location.Line(), max(e.Location.Column(), 0), "%s", explain(e.Message))
		}
		return nil
	}
	if kind := ast.OutputType(); !kind.IsExactType(cel.BoolType) {
		node.Fault("must be true or false, but is %s", kind)
		return nil
	}
	cost, err := env.EstimateCost(ast, sizes{})
	if err != nil || cost.Max > maxEstimate {
		node.Fault("may cost too much to evaluate on every report")
		return nil
	}
	program, err := env.Program(ast, cel.EvalOptions(cel.OptPartialEval), cel.CostLimit(maxCost))
	if err != nil {
		node.Fault("cannot be planned: %s", firstLine(err.Error()))
		return nil
	}
	names := map[string]bool{}
	for _, r := range ast.NativeRep().ReferenceMap() {
		if strings.HasPrefix(r.Name, posturePrefix) || strings.HasPrefix(r.Name, "device.") || r.Name == "group" || r.Name == "now" {
			names[r.Name] = true
		}
	}
	return &expression{program: program, reads: slices.Sorted(maps.Keys(names))}
}

// explain is a checker's message without its jargon, and with what could have
// been meant.
func explain(message string) string {
	message = strings.ReplaceAll(firstLine(message), " (in container '')", "")
	switch {
	case strings.Contains(message, "undeclared reference to 'posture"):
		return message + "; known are " + posturePrefix + strings.Join(slices.Sorted(maps.Keys(facts())), ", "+posturePrefix)
	case strings.Contains(message, "undeclared reference to 'device"):
		return message + "; known are device.group, device.hostname, device.id, device.trial"
	}
	return message
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return s
}

// sizes tells the estimator how long a fact's text can be.
type sizes struct{}

// EstimateSize is part of checker.CostEstimator.
func (sizes) EstimateSize(node checker.AstNode) *checker.SizeEstimate {
	if node.Type().IsExactType(cel.StringType) && len(node.Path()) > 0 {
		return &checker.SizeEstimate{Max: maxFactText}
	}
	return nil
}

// EstimateCallCost is part of checker.CostEstimator.
func (sizes) EstimateCallCost(function, _ string, _ *checker.AstNode, _ []checker.AstNode) *checker.CallEstimate {
	if function == "atLeast" {
		return &checker.CallEstimate{CostEstimate: checker.FixedCostEstimate(maxFactText / 4)}
	}
	return nil
}

// inputs is one report as expressions read it.
type inputs struct {
	values  map[string]any
	reads   map[string]Read
	unknown []*cel.AttributePatternType
}

func newInputs(subject Subject, reported []posture.Fact, now time.Time) inputs {
	in := inputs{values: map[string]any{}, reads: map[string]Read{}}
	set := func(name string, value any, text string) {
		in.values[name] = value
		in.reads[name] = Read{Name: name, Value: text}
	}
	set("device.id", subject.ID, subject.ID)
	set("device.group", subject.Group, subject.Group)
	set("device.hostname", subject.Hostname, subject.Hostname)
	set("device.trial", subject.Trial, strconv.FormatBool(subject.Trial))
	set("group", subject.Group, subject.Group)
	set("now", now.UTC(), now.UTC().Format(time.RFC3339))
	byName := make(map[string]posture.Fact, len(reported))
	for _, f := range reported {
		byName[f.Name] = f
	}
	for name, kind := range facts() {
		full := posturePrefix + name
		value, text, why := valueOf(byName, name, kind)
		if why == "" {
			set(full, value, text)
			continue
		}
		in.reads[full] = Read{Name: full, Unknown: why}
		in.unknown = append(in.unknown, cel.AttributePattern(full))
	}
	return in
}

// valueOf is the fact's value, or why it is unknown: it is never guessed.
func valueOf(byName map[string]posture.Fact, name string, kind *cel.Type) (value any, text, why string) {
	f, ok := byName[name]
	switch {
	case !ok:
		return nil, "", "not reported"
	case !f.Known && f.Reason == "":
		return nil, "", "no reason given"
	case !f.Known:
		return nil, "", f.Reason
	}
	switch {
	case kind == cel.BoolType && f.Flag != nil:
		return *f.Flag, f.String(), ""
	case kind == cel.TimestampType && !f.Time.IsZero():
		return f.Time.UTC(), f.String(), ""
	case kind == cel.StringType && f.Flag == nil && f.Number == nil && f.Time.IsZero():
		return f.Text, f.Text, ""
	}
	return nil, "", fmt.Sprintf("reported as something other than %s", kind)
}

// evaluate holds one rule against the inputs.
func (r *Rule) evaluate(in inputs) Result {
	result := Result{Rule: r.Name, When: r.When, Consequence: r.Consequence, Grace: r.Grace}
	for _, name := range r.compiled.reads {
		result.Reads = append(result.Reads, in.reads[name])
	}
	vars, err := cel.PartialVars(in.values, in.unknown...)
	if err != nil {
		result.Error = "its facts cannot be bound"
		return result
	}
	value, _, err := r.compiled.program.Eval(vars)
	switch {
	case err != nil:
		result.Error = firstLine(err.Error())
	case types.IsUnknown(value):
		result.Undecided, result.Passed = true, r.PassUnknown
	default:
		result.Passed = value == types.True
	}
	return result
}

// Evaluate holds a report against the rules of the device's group, in their
// order.
func (p *Policy) Evaluate(subject Subject, reported []posture.Fact, now time.Time) []Result {
	rules := p.Rules(subject.Group)
	if len(rules) == 0 {
		return nil
	}
	in := newInputs(subject, reported, now)
	results := make([]Result, len(rules))
	for i := range rules {
		results[i] = rules[i].evaluate(in)
	}
	return results
}
