package config_test

import (
	"strings"
	"testing"

	"cutoff/server/connector/config"
)

func TestAnswersBecomeAFileWithoutASecret(t *testing.T) {
	questions := []config.Question{
		{Key: "server", Address: true},
		{Key: "client.id"},
		{Key: "client.secret", Secret: true},
		{Key: "token", Secret: true},
		{Key: "life", Default: "1h"},
		{Key: "realm", Default: "master"},
		{Key: "allow", Many: true, Optional: true},
		{Key: "port"}, {Key: "on"}, {Key: "odd"},
		{Key: "left", Optional: true},
	}
	got := config.Render(questions, map[string]string{
		"server": "https://x.example.com", "client.id": "app", "client.secret": "hush-1", "token": "hush-2", "life": "1h",
		"realm": "corp", "allow": " 10.0.0.0/8,login.internal , ", "port": "8443", "on": "true", "odd": "a: b #c",
	})
	want := "server: https://x.example.com\nclient:\n    id: app\n    secret: client_secret\nlife: 1h\nrealm: corp\n" +
		"allow: [10.0.0.0/8, login.internal]\nport: 8443\non: true\nodd: 'a: b #c'\n"
	if got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	if strings.Contains(got, "hush") {
		t.Error("a secret is in the file")
	}
	if text := config.Render(questions, nil); text != "life: 1h\nrealm: master\n" {
		t.Errorf("no answers are the file %q, want the defaults", text)
	}
}

func TestAQuestionWithADefaultNeedsNoAnswer(t *testing.T) {
	for _, q := range config.LinkQuestions() {
		if q.Required() {
			t.Errorf("%s must be answered, although every connector does without", q.Key)
		}
	}
	if (config.Question{Default: "x"}).Required() || !(config.Question{}).Required() {
		t.Error("a default is not an answer, or nothing is one")
	}
}
