package identify

import (
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"regexp"
	"strconv"
	"strings"
)

// agePublic is a public key of age, which age-keygen writes above the secret
// one.
var agePublic = regexp.MustCompile(`(?m)^#.*\b(age1[02-9ac-hj-np-z]{58})\s*$`)

func ageKeys(content []byte, _ Around, n *notes) {
	n.until(never)
	for _, m := range agePublic.FindAllSubmatch(content, maxIdentifiers) {
		n.add("age-public-key", string(m[1]))
	}
}

// cloudflared names the account and zone of an origin certificate; the token in
// the same block is passed over.
func cloudflared(content []byte, _ Around, n *notes) {
	n.until(never)
	for rest := content; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return
		}
		var token struct {
			Zone    string `json:"zoneID"`
			Account string `json:"accountID"`
		}
		text := block.Bytes
		if raw, err := base64.StdEncoding.DecodeString(string(text)); err == nil {
			text = raw
		}
		if block.Type == "ARGO TUNNEL TOKEN" && json.Unmarshal(text, &token) == nil {
			n.add("cloudflare-account", token.Account)
			n.add("cloudflare-zone", token.Zone)
		}
	}
}

// subversion reads one of its records: lines "K n" and "V n", each before a
// text of n bytes.
func subversion(content []byte, _ Around, n *notes) {
	n.until(never)
	kinds := map[string]string{"svn:realmstring": "svn-realm", "username": "svn-user"}
	key, rest := "", string(content)
	for rest != "" {
		head, after, ok := strings.Cut(rest, "\n")
		what, length, two := strings.Cut(strings.TrimRight(head, "\r"), " ")
		size, err := strconv.Atoi(length)
		if !ok || !two || err != nil || size < 0 || size > len(after) {
			return // END, or no record
		}
		switch text := after[:size]; what {
		case "K":
			key = text
		case "V":
			if kind, public := kinds[key]; public {
				n.add(kind, text)
			}
		default:
			return
		}
		rest = strings.TrimLeft(after[size:], "\r\n")
	}
}
