package declarative

import (
	"context"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"cutoff/server/connector/outgoing"
	"cutoff/server/document"
)

// page says how a list is read in parts: by offset or page number, by a cursor
// out of the answer, or by the address of the next part.
type page struct {
	from, number, cursor string // the parameter's name
	size                 string // the parameter of how many to a part
	of, first            int
	next                 *jsonPath // the cursor's, or the next address's place
	link                 bool      // the next address is in the header Link
	total                *jsonPath
}

// chunk is what one part of a list held.
type chunk struct {
	count int
	doc   any
}

func (f *file) page(n, list document.Node) *page {
	if n.Missing() {
		return nil
	}
	if list.Missing() {
		n.Fault("pages are of a list")
	}
	m := n.Map("from", "number", "size", "of", "first", "cursor", "next", "link", "total")
	p := &page{
		from: m["from"].Text(), number: m["number"].Text(), cursor: m["cursor"].Text(), size: m["size"].Text(),
		of: m["of"].Int(1, 10000, 100), first: m["first"].Int(0, 1, 0), next: f.list(m["next"]), total: f.list(m["total"]),
	}
	p.link = m["link"].OneOf("next") == "next"
	if p.number != "" && m["first"].Missing() {
		p.first = 1
	}
	ways := 0
	for _, one := range []bool{p.from != "", p.number != "", p.cursor != "", p.link, p.next != nil && p.cursor == ""} {
		if one {
			ways++
		}
	}
	switch {
	case ways != 1:
		n.Fault("say one way to the next part: from (an offset), number (of the page), cursor with next (its place), next (the address's place) or link: next")
	case p.cursor != "" && p.next == nil:
		n.Fault("a cursor needs next: the cursor's place in the answer")
	case (p.from != "" || p.number != "") && p.size == "":
		n.Fault("size is missing: the parameter that says how many to a part")
	}
	return p
}

// pages calls once, or as often as the list has parts.
func (c *Connector) pages(
	ctx context.Context, call call, p *page, v values, id string, each func(outgoing.Response) (chunk, error),
) error {
	w := walk{page: p}
	for range maxPages {
		res, err := c.do(ctx, call, v, w.more(), w.at, id)
		if err != nil {
			return err
		}
		got, err := each(res)
		if err != nil || p == nil {
			return err
		}
		last, err := w.step(res, got)
		if err != nil || last {
			return err
		}
	}
	return statusError{verdict{outcome: actBlocked, detail: "too-many-found"}}
}

// walk is where the reading of a list stands.
type walk struct {
	page   *page
	seen   int
	number int
	cursor string
	at     *nextAddress
}

// more are the parameters of the next part.
func (w *walk) more() url.Values {
	p := w.page
	if p == nil || w.at != nil {
		return nil
	}
	more := url.Values{}
	if p.size != "" {
		more.Set(p.size, strconv.Itoa(p.of))
	}
	switch {
	case p.from != "":
		more.Set(p.from, strconv.Itoa(p.first+w.seen))
	case p.number != "":
		more.Set(p.number, strconv.Itoa(p.first+w.number))
	case p.cursor != "" && w.cursor != "":
		more.Set(p.cursor, w.cursor)
	}
	return more
}

// step goes on; last reports that there is nothing more. A provider may give
// less to a part than was asked for: where the answer has a total, that counts.
func (w *walk) step(res outgoing.Response, got chunk) (last bool, err error) {
	p := w.page
	w.seen += got.count
	w.number++
	switch {
	case p.link:
		return w.follow(linkNext(res.Header.Values("Link")))
	case p.cursor != "":
		text, err := optional(*p.next, got.doc)
		if err != nil || text != "" && text == w.cursor {
			return false, errAnswer
		}
		w.cursor = text
		return text == "", nil
	case p.next != nil:
		text, err := optional(*p.next, got.doc)
		if err != nil {
			return false, err
		}
		return w.follow(text)
	case got.count == 0:
		return true, nil
	case p.total != nil:
		text, err := optional(*p.total, got.doc)
		total, bad := strconv.Atoi(text)
		if err != nil || bad != nil {
			return false, errAnswer
		}
		return w.seen >= total, nil
	}
	return got.count < p.of, nil
}

func (w *walk) follow(text string) (last bool, err error) {
	if text == "" {
		return true, nil
	}
	u, err := url.Parse(text)
	if err != nil || w.at != nil && w.at.text == text {
		return false, errAnswer
	}
	w.at = &nextAddress{u, text}
	return false, nil
}

// nextAddress is where a provider says that a list goes on.
type nextAddress struct {
	url  *url.URL
	text string
}

// from is the address below the first one's origin; any other host is refused:
// the request carries credentials.
func (n *nextAddress) from(first *url.URL) (*url.URL, error) {
	u := first.ResolveReference(n.url)
	if u.Scheme != first.Scheme || !strings.EqualFold(u.Host, first.Host) || u.User != nil {
		return nil, errUnsafe{"next page", "address-of-another-host"}
	}
	u.Fragment = ""
	return u, nil
}

func optional(p jsonPath, doc any) (string, error) {
	got, ok := p.find(doc)
	if !ok || got == nil {
		return "", nil
	}
	text, ok := scalar(got)
	if !ok || len(text) > 8<<10 {
		return "", errAnswer
	}
	return text, nil
}

// What a header Link is made of (RFC 8288): an address and its parameters, of
// which rel holds one relation or several.
var (
	linkForm = regexp.MustCompile(`<([^<>]*)>((?:[^<"]|"[^"]*")*)`)
	relForm  = regexp.MustCompile(`(?i);\s*rel\s*=\s*(?:"([^"]*)"|([^\s;,"]*))`)
)

// linkNext is the address of rel="next" among Link headers. One that is
// overlooked ends the list early, and what the rest names lives on.
func linkNext(headers []string) string {
	for _, link := range linkForm.FindAllStringSubmatch(strings.Join(headers, ", "), -1) {
		rel := relForm.FindStringSubmatch(link[2])
		if rel != nil && slices.Contains(strings.Fields(strings.ToLower(rel[1]+rel[2])), "next") {
			return link[1]
		}
	}
	return ""
}
