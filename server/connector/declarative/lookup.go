package declarative

import (
	"context"
	"strings"

	"cutoff/server/connector/config"
	"cutoff/server/connector/outgoing"
	"cutoff/server/document"
)

// lookUp is a request whose answer feeds later ones.
type lookUp struct {
	name    string
	cond    condition
	call    call
	ok      []int
	nothing rules
	// required blocks the step where nothing is found, whatever the step says.
	required bool
	list     *jsonPath
	page     *page
	match    []test
	take     []taken
}

// taken is one variable a look-up gives: name.variable.
type taken struct {
	variable string
	path     jsonPath
	// may says that it need not be there.
	may bool
}

func (f *file) lookUp(n document.Node) lookUp {
	m := n.Map("name", "if", "call", "headers", "json", "form", "ok", "nothing", "required", "list", "page", "match", "take")
	n.Need(m, "name", "call", "take")
	l := lookUp{
		name: m["name"].Text(), cond: f.condition(m["if"]), call: f.call(n, m), ok: config.Statuses(m["ok"]),
		nothing: f.rulesOf(m["nothing"]), required: m["required"].Bool(false), list: f.list(m["list"]), page: f.page(m["page"], m["list"]),
	}
	if len(l.ok) == 0 {
		l.ok = []int{200}
	}
	if strings.ContainsFunc(l.name, notName) || strings.Contains(l.name, ".") || l.name == "id" || l.name == "secret" {
		m["name"].Fault("%q cannot be a look-up's name", l.name)
	}
	l.match = f.tests(m["match"])
	for _, e := range m["take"].Entries() {
		path, may := strings.CutSuffix(e.Value.Text(), "?")
		l.take = append(l.take, taken{variable: l.name + "." + e.Key, path: parsePath(e.Value, path), may: may})
		f.taken[l.name+"."+e.Key] = true
	}
	return l
}

func (f *file) list(n document.Node) *jsonPath {
	if n.Missing() {
		return nil
	}
	p := parsePath(n, n.Text())
	return &p
}

// rows runs look-ups, each for every row found so far, and returns the values
// of each thing to act on.
func (c *Connector) rows(ctx context.Context, list []lookUp, rows []values, id string) ([]values, error) {
	for _, l := range list {
		var next []values
		for _, row := range rows {
			if !c.holds(l.cond, row) {
				next = append(next, row)
				continue
			}
			found, err := c.lookUp(ctx, l, row, id)
			if err != nil {
				return nil, err
			}
			if len(found) == 0 && l.required {
				return nil, statusError{verdict{outcome: actBlocked, detail: l.name + "-not-found"}}
			}
			if next = append(next, found...); len(next) > maxRows {
				return nil, statusError{verdict{outcome: actBlocked, detail: "too-many-found"}}
			}
		}
		rows = next
	}
	return rows, nil
}

func (c *Connector) lookUp(ctx context.Context, l lookUp, v values, id string) ([]values, error) {
	var rows []values
	err := c.pages(ctx, l.call, l.page, v, id, func(res outgoing.Response) (chunk, error) {
		doc, err := decode(res.Body)
		if _, none := l.nothing.find(res.Status, doc, v); none {
			return chunk{}, nil
		}
		if bad := c.bad(res, l.ok, v); bad != nil {
			return chunk{}, bad
		}
		if err != nil {
			return chunk{}, err
		}
		items := []any{doc}
		if l.list != nil {
			if items, err = l.list.items(doc); err != nil {
				return chunk{}, err
			}
		}
		for _, item := range items {
			if !all(l.match, item, v) {
				continue
			}
			row, err := l.row(item, v)
			if err != nil {
				return chunk{}, err
			}
			if rows = append(rows, row); len(rows) > maxRows {
				return chunk{}, statusError{verdict{outcome: actBlocked, detail: "too-many-found"}}
			}
		}
		return chunk{count: len(items), doc: doc}, nil
	})
	return rows, err
}

// row is v and what the look-up takes from item. Something that was found but
// has no name to act on is an answer we do not understand.
func (l lookUp) row(item any, v values) (values, error) {
	row := make(values, len(v)+len(l.take))
	for k, s := range v {
		row[k] = s
	}
	for _, t := range l.take {
		got, ok := t.path.find(item)
		text, plain := scalar(got)
		switch {
		case ok && plain && text != "":
			row[t.variable] = text
		case !t.may || ok && !plain && got != nil:
			return nil, errAnswer
		default:
			row[t.variable] = ""
		}
	}
	return row, nil
}
