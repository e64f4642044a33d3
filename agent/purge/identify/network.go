package identify

import (
	"encoding/json"
	"encoding/pem"
	"strings"
)

// tailscale reads a node's state: a mapping from names to base64 of JSON, of
// which the profiles say who and where. The private keys in it are not touched.
func tailscale(content []byte, _ Around, n *notes) {
	n.until(never)
	var state map[string][]byte
	if json.Unmarshal(content, &state) != nil {
		return
	}
	for name, raw := range state {
		if strings.HasPrefix(name, "profile-") {
			var prefs struct {
				Config struct {
					NodeID string `json:"NodeID"`
				} `json:"Config"`
				Hostname string `json:"Hostname"`
				Server   string `json:"ControlURL"`
			}
			if json.Unmarshal(raw, &prefs) == nil {
				n.add("tailscale-node-id", prefs.Config.NodeID)
				n.add("tailscale-hostname", prefs.Hostname)
				n.add("tailscale-server", address(prefs.Server))
			}
			continue
		}
		if name != "_profiles" {
			continue
		}
		var profiles map[string]struct {
			NodeID string `json:"NodeID"`
			User   struct {
				Login string `json:"LoginName"`
			} `json:"UserProfile"`
			Server string `json:"ControlURL"`
		}
		if json.Unmarshal(raw, &profiles) != nil {
			continue
		}
		for _, p := range profiles {
			n.add("tailscale-node-id", p.NodeID)
			n.add("tailscale-user", p.User.Login)
			n.add("tailscale-server", address(p.Server))
		}
	}
}

// openvpn names the other end and the certificate of a profile.
func openvpn(content []byte, _ Around, n *notes) {
	n.until(never)
	for raw := range strings.Lines(string(content)) {
		if words := strings.Fields(raw); len(words) > 1 && words[0] == "remote" {
			n.add("vpn-remote", strings.Join(words[1:min(len(words), 3)], ":"))
		}
	}
	_, cert, ok := strings.Cut(string(content), "<cert>")
	if !ok {
		return
	}
	for rest := []byte(cert); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil || block.Type != "CERTIFICATE" {
			return
		}
		certificate(pem.EncodeToMemory(block), n)
	}
}
