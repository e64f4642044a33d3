package console

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	cutoffv1 "cutoff/proto/cutoff/v1"
	"cutoff/server/fault"
)

// cutForm is the form by which a person cuts a device or a person.
type cutForm struct {
	// Base is the address the form's actions are below.
	Base string
	// Device is set for a device, else it is a person.
	Device bool
	Name   string
	// Word is what must be typed to confirm.
	Word string
	// Can says that the reader's role may cut, CanPreview that it may ask what
	// a cut would do.
	Can, CanPreview bool
	Level           string
	Reason          string
	Typed           string
	Problem         string
	Preview         *previewView
	Standing        *cutRow
	FormToken       string
}

// With adds the token of the session whose page the form stands in.
func (f cutForm) With(token string) cutForm { f.FormToken = token; return f }

func deviceForm(d *cutoffv1.Device) cutForm {
	confirm := d.GetHostname()
	if !typeable(confirm) {
		confirm = d.GetDeviceId()
	}
	return cutForm{
		Base: "/devices/" + url.PathEscape(d.GetDeviceId()), Device: true,
		Name: deviceName(d), Word: confirm, Level: "seal",
	}
}

func personForm(p *cutoffv1.Person) cutForm {
	confirm := p.GetEmail()
	if !typeable(confirm) {
		confirm = p.GetPersonId()
	}
	return cutForm{
		Base: "/people/" + url.PathEscape(p.GetPersonId()), Name: personName(p), Word: confirm, Level: "seal",
	}
}

// read takes over what was sent, so that nothing need be typed twice.
func (f *cutForm) read(r request) {
	f.Level, f.Reason = r.PostFormValue("level"), strings.TrimSpace(r.PostFormValue("reason"))
	f.Typed = strings.TrimSpace(r.PostFormValue("confirm"))
	if f.Level != "purge" {
		f.Level = "seal"
	}
}

// ask says what is still missing before the cut may be asked for, or nothing.
func (f *cutForm) ask(r request) string {
	switch level := r.PostFormValue("level"); {
	case level != "seal" && level != "purge":
		return "Choose seal or purge."
	case f.Reason == "":
		return "Say why: the reason stands in the evidence."
	case len(f.Reason) > 1000:
		return "The reason is too long: at most 1,000 characters."
	case !strings.EqualFold(f.Typed, f.Word):
		return "To confirm, type " + f.Word + " exactly as shown. Nothing was cut."
	case level == "purge" && r.PostFormValue("final") != "yes":
		return "A purge cannot be undone: tick the box that says you know. Nothing was cut."
	}
	return ""
}

func (c *Console) cutDevice(w http.ResponseWriter, r request) error {
	data, err := c.loadDevice(r)
	if err != nil {
		return err
	}
	again := func(code int) {
		c.show(w, code, "device", r.page(data.Name, "devices", data))
	}
	return c.openCut(w, r, &data.Form, &cutoffv1.OpenCutRequest{Device: data.DeviceID}, again)
}

func (c *Console) cutPerson(w http.ResponseWriter, r request) error {
	data, err := c.loadPerson(r)
	if err != nil {
		return err
	}
	again := func(code int) {
		c.show(w, code, "person", r.page(data.Name, "people", data))
	}
	return c.openCut(w, r, &data.Form, &cutoffv1.OpenCutRequest{Person: data.ID}, again)
}

// openCut asks for the cut that the form describes and goes to its page; again
// shows the form once more with its problem.
func (c *Console) openCut(
	w http.ResponseWriter, r request, form *cutForm, ask *cutoffv1.OpenCutRequest, again func(int),
) error {
	if err := c.need(r, "OpenCut"); err != nil {
		return err
	}
	form.read(r)
	if form.Problem = form.ask(r); form.Problem != "" {
		again(http.StatusUnprocessableEntity)
		return nil
	}
	ask.Level, ask.Reason = form.Level, form.Reason
	answer, err := c.Admin.OpenCut(r.ctx, ask)
	if err != nil {
		c.note(r.Request, err)
		form.Problem = sentence(err)
		again(status(err))
		return nil
	}
	id := answer.GetCaseId()
	if cuts := answer.GetCuts(); len(cuts) == 1 {
		id = cuts[0].GetCutId()
	}
	http.Redirect(w, r.Request, "/cuts/"+url.PathEscape(id), http.StatusSeeOther)
	return nil
}

// previewView is the dry run: what would be removed and revoked.
type previewView struct {
	Level   string
	Device  bool
	Problem string
	Held    string
	Devices []previewDevice
	Steps   []stepGroup
	StepsN  int
	ItemsN  int
}

type previewDevice struct {
	Name    string
	Live    bool
	AsOf    moment
	Problem string
	Column  column
}

func (c *Console) previewDevice(w http.ResponseWriter, r request) error {
	if err := c.need(r, "PreviewCut"); err != nil {
		return err
	}
	if r.Header.Get("HX-Request") != "" {
		view := c.preview(r, &cutoffv1.PreviewCutRequest{Device: r.PathValue("id")})
		view.Device = true
		c.part(w, http.StatusOK, "device", "preview-part", view)
		return nil
	}
	data, err := c.loadDevice(r)
	if err != nil {
		return err
	}
	data.Form.read(r)
	data.Form.Preview = c.preview(r, &cutoffv1.PreviewCutRequest{Device: data.DeviceID})
	data.Form.Preview.Device = true
	c.show(w, http.StatusOK, "device", r.page(data.Name, "devices", data))
	return nil
}

func (c *Console) previewPerson(w http.ResponseWriter, r request) error {
	if err := c.need(r, "PreviewCut"); err != nil {
		return err
	}
	if r.Header.Get("HX-Request") != "" {
		view := c.preview(r, &cutoffv1.PreviewCutRequest{Person: r.PathValue("id")})
		c.part(w, http.StatusOK, "person", "preview-part", view)
		return nil
	}
	data, err := c.loadPerson(r)
	if err != nil {
		return err
	}
	data.Form.read(r)
	data.Form.Preview = c.preview(r, &cutoffv1.PreviewCutRequest{Person: data.ID})
	c.show(w, http.StatusOK, "person", r.page(data.Name, "people", data))
	return nil
}

// preview asks for the dry run; what goes wrong is part of the view, because
// the form it stands in must stay.
func (c *Console) preview(r request, ask *cutoffv1.PreviewCutRequest) *previewView {
	level := r.PostFormValue("level")
	if level != "seal" && level != "purge" {
		return &previewView{Problem: "Choose seal or purge first."}
	}
	ask.Level = level
	answer, err := c.Admin.PreviewCut(r.ctx, ask)
	if err != nil {
		c.note(r.Request, err)
		if kindOf(err) == fault.Unavailable {
			return &previewView{Level: level,
				Problem: "No preview now: " + sentence(err) + " A cut would still be delivered."}
		}
		return &previewView{Level: level, Problem: sentence(err)}
	}
	return previewOf(answer, level, c.Now())
}

func previewOf(answer *cutoffv1.PreviewCutResponse, level string, now time.Time) *previewView {
	v := &previewView{Level: level, Held: answer.GetHeld(), StepsN: len(answer.GetSteps())}
	for _, d := range answer.GetDevices() {
		name := strings.TrimSpace(visible(d.GetHostname()))
		if name == "" {
			name = d.GetDeviceId()
		}
		v.ItemsN += len(d.GetItems())
		problem := ""
		if d.GetError() != "" {
			problem = asSentence(visible(d.GetError()))
		}
		v.Devices = append(v.Devices, previewDevice{
			Name: name, Live: d.GetLive(), AsOf: momentOf(d.GetAsOf(), now), Problem: problem,
			Column: itemsColumn(d.GetItems(), now, rowsAGroup),
		})
	}
	v.Steps = stepsColumn(answer.GetSteps(), now, rowsAGroup).Steps
	return v
}
