package config_test

import (
	"strings"
	"testing"

	"cutoff/server/connector/config"
)

func TestASecretIsLackedUnlessItIsGivenOrMayLack(t *testing.T) {
	got := config.Secrets{"a": "x", "blank": " \n"}.Lack([]string{"a", "blank", "b", "c" + config.MayLack})
	if len(got) != 2 || got[0].Message != `secret "blank" is not given` || got[1].Message != `secret "b" is not given` {
		t.Errorf("got %v", got)
	}
}

func TestAFileThatCannotBeOpenedSaysWhy(t *testing.T) {
	for text, want := range map[string]string{"": "1:1: the file is empty", "# no more": "1:1: the file is empty", "a: [": "1:", "a: b": ""} {
		doc, problems := config.Open(text)
		said := ""
		if len(problems) > 0 {
			said = problems[0].String()
		}
		if (doc == nil) != (want != "") || (said == "") != (want == "") || !strings.HasPrefix(said, want) {
			t.Errorf("%q: got %v, want %q", text, problems, want)
		}
	}
}
