package console

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io"
	"net/http"
	"path"
	"strings"
	"time"

	"cutoff/server/flow"
)

//go:embed pages
var pageFiles embed.FS

// pages are the parsed templates, one set a page, each with the layout and the
// shared parts.
type pages map[string]*template.Template

// page is what every template gets.
type page struct {
	Title string
	// Place is the entry of the navigation that is current.
	Place     string
	Actor     *flow.Actor
	FormToken string
	// Now is the server's time, by which console.js keeps counters going.
	Now  string
	Data any
}

func loadPages(a assets) (pages, error) {
	funcs := template.FuncMap{"asset": a.address}
	shared, err := template.New("shared").Funcs(funcs).ParseFS(pageFiles, "pages/layout.html", "pages/parts.html")
	if err != nil {
		return nil, err
	}
	entries, err := pageFiles.ReadDir("pages")
	if err != nil {
		return nil, err
	}
	loaded := pages{}
	for _, entry := range entries {
		name := strings.TrimSuffix(entry.Name(), ".html")
		if name == "layout" || name == "parts" {
			continue
		}
		set, err := shared.Clone()
		if err != nil {
			return nil, err
		}
		if loaded[name], err = set.ParseFS(pageFiles, path.Join("pages", entry.Name())); err != nil {
			return nil, err
		}
	}
	return loaded, nil
}

// render writes one template of a page's set.
func (c *Console) render(w io.Writer, name, template string, data any) error {
	set, ok := c.pages[name]
	if !ok {
		return fmt.Errorf("no page %q", name)
	}
	return set.ExecuteTemplate(w, template, data)
}

// show answers with a whole page. It is rendered before anything is sent, so
// that a fault in a template is an error page and not half a page.
func (c *Console) show(w http.ResponseWriter, code int, name string, p page) {
	p.Now = c.Now().UTC().Format(time.RFC3339)
	c.send(w, code, name, "layout", p)
}

// part answers with one part of a page, for htmx to put in its place.
func (c *Console) part(w http.ResponseWriter, code int, name, template string, data any) {
	c.send(w, code, name, template, data)
}

func (c *Console) send(w http.ResponseWriter, code int, name, template string, data any) {
	var body bytes.Buffer
	if err := c.render(&body, name, template, data); err != nil {
		c.Log.Error("console page", "page", name, "err", err)
		http.Error(w, "The page could not be shown; the server's log has the details.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(code)
	_, _ = body.WriteTo(w)
}

// page makes what a signed-in page starts from.
func (r request) page(title, place string, data any) page {
	return page{Title: title, Place: place, Actor: &r.actor, FormToken: formToken(r.token), Data: data}
}
