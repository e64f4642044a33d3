package identify

import (
	"encoding/json"
)

// above is what a browser's reader needs more than Around: the folders that a
// file lies in, the innermost first.
type above interface{ Above(n int) string }

// maxAbove is how far a file lies below its profile, and that below its base.
const maxAbove = 3

// browserProfile names a Chromium profile and the account that is signed in:
// the base folder's Local State lists the profiles by their folders.
func browserProfile(_ []byte, around Around, n *notes) {
	n.until(never)
	folders, ok := around.(above)
	if !ok {
		return
	}
	up := ""
	for level := range maxAbove {
		up += "../"
		text := around.Sibling(up + "Local State")
		if text == nil {
			continue
		}
		var state struct {
			Profile struct {
				Cache map[string]struct {
					Account string `json:"user_name"`
					Gaia    string `json:"gaia_id"`
				} `json:"info_cache"`
			} `json:"profile"`
		}
		profile := folders.Above(level)
		if json.Unmarshal(text, &state) == nil {
			n.add("browser-account", state.Profile.Cache[profile].Account)
		}
		n.add("browser-profile", profile)
		return
	}
}

// firefoxProfile names a Firefox profile and the account that is signed in.
func firefoxProfile(content []byte, around Around, n *notes) {
	n.until(never)
	if around.Name() != "signedInUser.json" {
		content = around.Sibling("signedInUser.json")
	}
	var f struct {
		Account struct {
			Email string `json:"email"`
			UID   string `json:"uid"`
		} `json:"accountData"`
	}
	if json.Unmarshal(content, &f) == nil {
		n.add("browser-account", f.Account.Email)
		n.add("browser-account-id", f.Account.UID)
	}
	if folders, ok := around.(above); ok {
		n.add("browser-profile", folders.Above(0))
	}
}
