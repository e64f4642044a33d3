package iamtest

import (
	"embed"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// files are AWS's own models, trimmed to the operations in use (see _source in
// each).
//
//go:embed testdata/*.json
var files embed.FS

// model is one service as AWS describes it.
type model struct {
	Metadata struct {
		APIVersion   string `json:"apiVersion"`
		XMLNamespace string `json:"xmlNamespace"`
	} `json:"metadata"`
	Operations map[string]struct {
		Input  ref
		Output ref
		Errors []ref
	} `json:"operations"`
	Shapes map[string]shape `json:"shapes"`
}

type ref struct {
	Shape         string `json:"shape"`
	ResultWrapper string `json:"resultWrapper"`
}

type shape struct {
	Type     string         `json:"type"`
	Required []string       `json:"required"`
	Members  map[string]ref `json:"members"`
	Member   ref            `json:"member"`
	Flat     bool           `json:"flattened"`
	Enum     []string       `json:"enum"`
	Min, Max *int
	Pattern  string `json:"pattern"`
	Error    struct {
		Code   string `json:"code"`
		Status int    `json:"httpStatusCode"`
	} `json:"error"`
}

func load(file string) model {
	raw, err := files.ReadFile("testdata/" + file)
	if err != nil {
		panic(err)
	}
	var m model
	if err := json.Unmarshal(raw, &m); err != nil {
		panic(err)
	}
	return m
}

// request holds a form of the Query protocol against the operation's input.
func (m model) request(form url.Values) error {
	op, ok := m.Operations[form.Get("Action")]
	if !ok {
		return fmt.Errorf("there is no operation %q in use", form.Get("Action"))
	}
	if form.Get("Version") != m.Metadata.APIVersion {
		return fmt.Errorf("version %q", form.Get("Version"))
	}
	left := map[string]string{}
	for k, v := range form {
		if k == "Action" || k == "Version" {
			continue
		}
		if len(v) != 1 {
			return fmt.Errorf("%s is given %d times", k, len(v))
		}
		left[k] = v[0]
	}
	if op.Input.Shape != "" {
		if err := m.input(op.Input.Shape, "", left); err != nil {
			return err
		}
	}
	for k := range left {
		return fmt.Errorf("%s is no parameter of %s", k, form.Get("Action"))
	}
	return nil
}

func (m model) input(name, at string, left map[string]string) error {
	s := m.Shapes[name]
	switch s.Type {
	case "structure":
		for member, r := range s.Members {
			place := strings.TrimPrefix(at+"."+member, ".")
			if !has(left, place) {
				if slices.Contains(s.Required, member) {
					return fmt.Errorf("%s is missing", place)
				}
				continue
			}
			if err := m.input(r.Shape, place, left); err != nil {
				return err
			}
		}
	case "list":
		for i := 1; ; i++ {
			place := at + ".member." + strconv.Itoa(i)
			if !has(left, place) {
				return nil
			}
			if err := m.input(s.Member.Shape, place, left); err != nil {
				return err
			}
		}
	default:
		value := left[at]
		delete(left, at)
		return s.scalar(at, value)
	}
	return nil
}

func has(left map[string]string, place string) bool {
	for k := range left {
		if k == place || strings.HasPrefix(k, place+".") {
			return true
		}
	}
	return false
}

func (s shape) scalar(at, value string) error {
	switch {
	case s.Type == "string" && s.Min != nil && len(value) < *s.Min, s.Type == "string" && s.Max != nil && len(value) > *s.Max:
		return fmt.Errorf("%s has %d letters", at, len(value))
	case len(s.Enum) > 0 && !slices.Contains(s.Enum, value):
		return fmt.Errorf("%s is %q, none of %v", at, value, s.Enum)
	case s.Type == "boolean" && value != "true" && value != "false":
		return fmt.Errorf("%s is %q", at, value)
	}
	if s.Pattern == "" {
		return nil
	}
	form, err := regexp.Compile(`^(?s:` + unicodes.ReplaceAllString(s.Pattern, `\x{$1}`) + `)$`)
	if err != nil {
		return fmt.Errorf("%s: pattern %q: %w", at, s.Pattern, err)
	}
	if !form.MatchString(value) {
		return fmt.Errorf("%s does not match %s", at, s.Pattern)
	}
	return nil
}

// unicodes are characters as the models write them in patterns.
var unicodes = regexp.MustCompile(`\\u([0-9A-F]{4})`)

// answer writes the operation's output in XML. Whatever the model does not
// have, or misses, is a mistake of the fake's and panics.
func (m model) answer(action string, value map[string]any) string {
	op := m.Operations[action]
	inner := ""
	if op.Output.Shape != "" {
		inner = "<" + op.Output.ResultWrapper + ">" + m.output(op.Output.Shape, value) + "</" + op.Output.ResultWrapper + ">"
	}
	return "<" + action + `Response xmlns="` + m.Metadata.XMLNamespace + `">` + inner +
		"<ResponseMetadata><RequestId>7a62c49f-347e-4fc4-9331-6e8eEXAMPLE</RequestId></ResponseMetadata></" + action + "Response>"
}

func (m model) output(name string, value any) string {
	s := m.Shapes[name]
	switch s.Type {
	case "structure":
		fields, ok := value.(map[string]any)
		if !ok {
			panic(fmt.Sprintf("%s: got %T", name, value))
		}
		for _, r := range s.Required {
			if _, ok := fields[r]; !ok {
				panic(name + ": " + r + " is missing")
			}
		}
		keys := make([]string, 0, len(fields))
		for k := range fields {
			keys = append(keys, k)
		}
		sort.Strings(keys)
		var b strings.Builder
		for _, k := range keys {
			r, ok := s.Members[k]
			if !ok {
				panic(name + " has no " + k)
			}
			b.WriteString("<" + k + ">" + m.output(r.Shape, fields[k]) + "</" + k + ">")
		}
		return b.String()
	case "list":
		var b strings.Builder
		for _, v := range value.([]any) { //nolint:forcetypeassert // the fake's own values
			b.WriteString("<member>" + m.output(s.Member.Shape, v) + "</member>")
		}
		return b.String()
	default:
		text := fmt.Sprint(value)
		if err := s.scalar(name, text); err != nil {
			panic(err)
		}
		var b strings.Builder
		_ = xml.EscapeText(&b, []byte(text))
		return b.String()
	}
}

// failure is the status and the body of an error that the operation may have;
// errors that all operations share are known by their code alone.
func (m model) failure(action, code string) (int, string) {
	status := map[string]int{"AccessDenied": 403, "InvalidClientTokenId": 403, "SignatureDoesNotMatch": 403, "Throttling": 400, "ServiceFailure": 500, "InvalidAction": 400, "ValidationError": 400}[code]
	for _, e := range m.Operations[action].Errors {
		if s := m.Shapes[e.Shape]; s.Error.Code == code {
			status = s.Error.Status
		}
	}
	// GetAccessKeyLastUsed is described without errors and has them all the same.
	if status == 0 && code == "NoSuchEntity" {
		status = 404
	}
	if status == 0 {
		panic(action + " has no error " + code)
	}
	return status, `<ErrorResponse xmlns="` + m.Metadata.XMLNamespace + `"><Error><Type>Sender</Type><Code>` + code +
		"</Code><Message>it is so</Message></Error><RequestId>7a62c49f-347e-4fc4-9331-6e8eEXAMPLE</RequestId></ErrorResponse>"
}
