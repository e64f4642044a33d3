package revoke

// Sight is what a step would find now: what a connector answers when it is
// asked without being told to do anything.
type Sight struct {
	// Found is what would end, in people's words.
	Found []string
	// Unrelated is access that would end, too, and has nothing to do with the
	// subject: other devices' sessions, other grants.
	Unrelated []string
	// Outcome is empty where the connector looked; Blocked or Retrying, with
	// Detail, where it could not.
	Outcome Outcome
	Detail  string
}

// Person is whom a connector looks for in its provider's directory.
type Person struct {
	Email string
	// Names are identifiers of the inventory by kind: github-user, azure-user …
	Names map[string]string
}
