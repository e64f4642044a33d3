package identify

import (
	"bytes"
	"encoding/json"
	"path"
	"strings"

	"gopkg.in/yaml.v3"
)

// Named is what a file says about other files.
type Named struct {
	// Files are the paths it names, as written ("~/x", "/x") or joined to its
	// own folder.
	Files []string
	// More are files of its own kind that it includes.
	More []string
}

// Follow runs the follower of that name. folder is the file's own, as its user
// sees it.
func Follow(follower string, content []byte, folder string) Named {
	switch follower {
	case "kubeconfig":
		return kubeFiles(content, folder)
	case "ssh-config":
		return sshFiles(content)
	case "git-config":
		return gitFiles(content)
	case "ansible-config":
		return ansibleFiles(content, folder)
	case "npmrc":
		return npmFiles(content)
	}
	return Named{}
}

func kubeFiles(content []byte, folder string) Named {
	var f struct {
		Users []struct {
			User struct {
				Key   string `yaml:"client-key"`
				Token string `yaml:"tokenFile"`
			} `yaml:"user"`
		} `yaml:"users"`
	}
	var out Named
	if yaml.Unmarshal(content, &f) != nil {
		return out
	}
	for _, u := range f.Users {
		for _, name := range []string{u.User.Key, u.User.Token} {
			if name == "" {
				continue
			}
			if !strings.HasPrefix(name, "/") {
				name = path.Join(folder, name)
			}
			out.Files = append(out.Files, name)
		}
	}
	return out
}

func sshFiles(content []byte) Named {
	var out Named
	for raw := range strings.Lines(string(content)) {
		text := strings.TrimSpace(raw)
		i := strings.IndexAny(text, " \t=")
		if i <= 0 {
			continue
		}
		values := strings.Fields(strings.ReplaceAll(strings.TrimLeft(text[i:], " \t="), `"`, ""))
		switch strings.ToLower(text[:i]) {
		case "identityfile":
			for _, v := range values {
				if p, ok := sshPath(v); ok {
					out.Files = append(out.Files, p)
				}
			}
		case "include":
			for _, v := range values {
				if !strings.HasPrefix(v, "/") && !strings.HasPrefix(v, "~") {
					v = "~/.ssh/" + v
				}
				out.More = append(out.More, v)
			}
		}
	}
	return out
}

// sshPath resolves what ssh itself puts in place of %d; other tokens depend on
// the host and are passed over.
func sshPath(v string) (string, bool) {
	v = strings.ReplaceAll(v, "%d", "~")
	if strings.Contains(v, "%") || strings.EqualFold(v, "none") {
		return "", false
	}
	if !strings.HasPrefix(v, "/") && !strings.HasPrefix(v, "~/") {
		return "", false // relative to wherever ssh was started
	}
	return v, true
}

func gitFiles(content []byte) Named {
	var out Named
	for _, s := range sections(content) {
		if !strings.HasPrefix(s.name, "credential") {
			continue
		}
		words := strings.Fields(strings.ReplaceAll(strings.ReplaceAll(s.keys["helper"], `"`, ""), "'", ""))
		if len(words) == 0 || !strings.HasSuffix(words[0], "store") {
			continue
		}
		for i, w := range words {
			if file, ok := strings.CutPrefix(w, "--file="); ok {
				out.Files = append(out.Files, file)
			} else if w == "--file" && i+1 < len(words) {
				out.Files = append(out.Files, words[i+1])
			}
		}
	}
	return out
}

func ansibleFiles(content []byte, folder string) Named {
	var out Named
	for _, s := range sections(content) {
		name := s.keys["vault_password_file"]
		if s.name != "defaults" || name == "" {
			continue
		}
		if !strings.HasPrefix(name, "/") && !strings.HasPrefix(name, "~") {
			name = path.Join(folder, name)
		}
		out.Files = append(out.Files, name)
	}
	return out
}

// npmFiles are the client keys of registries: "//host/:keyfile=/path".
func npmFiles(content []byte) Named {
	var out Named
	for _, l := range tree("npmrc", content) {
		if name := l.path[0]; name == "keyfile" || strings.HasSuffix(name, ":keyfile") {
			out.Files = append(out.Files, l.value)
		}
	}
	return out
}

// Test runs the test of that name on a file's content.
func Test(test string, content []byte) bool {
	switch test {
	case "private-key":
		head := content[:min(len(content), 4096)]
		return bytes.Contains(head, []byte("PRIVATE KEY-----")) || bytes.HasPrefix(head, []byte("PuTTY-User-Key-File-"))
	case "private-key-inside":
		return bytes.Contains(content, []byte("PRIVATE KEY-----"))
	case "gcp-credential":
		var f struct {
			Type string `json:"type"`
		}
		return json.Unmarshal(content, &f) == nil &&
			(f.Type == "service_account" || f.Type == "authorized_user" || strings.HasPrefix(f.Type, "external_account") || f.Type == "impersonated_service_account")
	}
	return false
}
