package connector_test

import (
	"cmp"
	"strings"
	"testing"

	"cutoff/server/connector"
)

func TestWhoeverAnswersTheQuestionsHasAFileInOrder(t *testing.T) {
	b := newBench(t, nil)
	// Answers of a form of their own; all else is a word or an address.
	examples := map[string]string{"account": "012345678901", "access_key_id": "AKIAEXAMPLEEXAMPLE00"}
	for _, o := range connector.Offers() {
		answers, secrets := map[string]string{}, []string{}
		for _, q := range o.Questions {
			switch {
			case q.Secret && !q.Optional:
				answers[q.Key] = subjectSecret
				secrets = append(secrets, q.SecretName())
			case q.Address:
				answers[q.Key] = "https://login.example.com"
			case q.Required():
				answers[q.Key] = cmp.Or(examples[q.Key], "some")
			}
			if q.About == "" {
				t.Errorf("%s asks for %q without saying what it is", o.Name, q.Key)
			}
		}
		file := o.File(answers)
		if _, problems := b.Check(o.Kind, file, secrets); len(problems) > 0 {
			t.Errorf("%s: %v\n%s", o.Name, problems, file)
		}
		if strings.Contains(file, subjectSecret) || o.About == "" {
			t.Errorf("%s (%s): a secret is in the file, or nothing says what it is for:\n%s", o.Name, o.About, file)
		}
	}
}
