package identify

import (
	"encoding/base64"
	"encoding/json"
	"regexp"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// never stands for a credential without a known end.
var never time.Time

// when reads a time as RFC 3339, as AWS writes it, or as nothing.
func when(text string) time.Time {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05UTC", "2006-01-02T15:04:05"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC()
		}
	}
	return never
}

func awsSSO(content []byte, _ Around, n *notes) {
	var f struct {
		StartURL     string `json:"startUrl"`
		Region       string `json:"region"`
		ClientID     string `json:"clientId"`
		ExpiresAt    string `json:"expiresAt"`
		RefreshToken string `json:"refreshToken"`
		ClientSecret string `json:"clientSecret"`
		AccessToken  string `json:"accessToken"`
	}
	if json.Unmarshal(content, &f) != nil {
		n.until(never)
		return
	}
	n.add("aws-sso-start-url", address(f.StartURL))
	n.add("aws-sso-region", f.Region)
	n.add("aws-sso-client-id", f.ClientID)
	if f.RefreshToken != "" {
		n.until(never) // it draws new tokens until the session ends
		return
	}
	n.until(when(f.ExpiresAt))
}

func awsCache(content []byte, _ Around, n *notes) {
	type keys struct {
		AccessKeyID  string `json:"AccessKeyId"`
		AccessKeyLow string `json:"accessKeyId"`
		Expiration   string `json:"Expiration"`
		ExpiresAt    string `json:"expiresAt"`
	}
	var f struct {
		Credentials  keys   `json:"Credentials"`
		AccessToken  keys   `json:"accessToken"`
		LoginSession string `json:"loginSession"`
		RefreshToken string `json:"refreshToken"`
		Role         struct {
			Arn string `json:"Arn"`
		} `json:"AssumedRoleUser"`
	}
	if json.Unmarshal(content, &f) != nil {
		n.until(never)
		return
	}
	n.add("aws-access-key-id", accessKey(f.Credentials.AccessKeyID))
	n.add("aws-access-key-id", accessKey(f.AccessToken.AccessKeyLow))
	n.add("aws-role-arn", f.Role.Arn)
	n.add("aws-login-session", f.LoginSession)
	if f.RefreshToken != "" {
		n.until(never)
		return
	}
	n.until(when(or(f.Credentials.Expiration, f.AccessToken.ExpiresAt)))
}

func gcp(content []byte, around Around, n *notes) {
	n.until(never)
	var f struct {
		ClientEmail  string `json:"client_email"`
		PrivateKeyID string `json:"private_key_id"`
		ProjectID    string `json:"project_id"`
		QuotaProject string `json:"quota_project_id"`
		ClientID     string `json:"client_id"`
		Account      string `json:"account"`
		Audience     string `json:"audience"`
	}
	if json.Unmarshal(content, &f) != nil {
		return // .boto and other forms name nobody
	}
	n.add("gcp-client-email", f.ClientEmail)
	n.add("gcp-private-key-id", f.PrivateKeyID)
	n.add("gcp-project", or(f.ProjectID, f.QuotaProject))
	n.add("gcp-client-id", f.ClientID)
	n.add("gcp-account", f.Account)
	n.add("gcp-audience", f.Audience)
}

// account finds account names in gcloud's databases, where they stand in the
// clear between secrets: only what has the form of a mail address is taken.
var account = regexp.MustCompile(`[A-Za-z0-9._+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){1,5}`)

func gcloudStore(content []byte, around Around, n *notes) {
	n.until(never)
	for raw := range strings.Lines(string(around.Sibling("configurations/config_default"))) {
		if key, value, ok := strings.Cut(raw, "="); ok && strings.TrimSpace(key) == "account" {
			n.add("gcp-account", value)
		}
	}
	if strings.Contains(around.Name(), "-") {
		return // journals of the database
	}
	for _, found := range account.FindAll(content, maxIdentifiers) {
		at := string(found)
		// The record puts the account right before its JSON: cut what ran in.
		n.add("gcp-account", trimDomain(at))
	}
}

// trimDomain cuts a mail address after its last known-looking end.
func trimDomain(at string) string {
	for _, end := range []string{".gserviceaccount.com", ".com", ".org", ".net", ".io", ".dev", ".example"} {
		if i := strings.Index(at, end); i > 0 {
			return at[:i+len(end)]
		}
	}
	return at
}

func azure(content []byte, around Around, n *notes) {
	n.until(never)
	var cache struct {
		Account map[string]struct {
			Username string `json:"username"`
			Realm    string `json:"realm"`
			LocalID  string `json:"local_account_id"`
			HomeID   string `json:"home_account_id"`
		} `json:"Account"`
		RefreshToken map[string]struct {
			ClientID string `json:"client_id"`
		} `json:"RefreshToken"`
	}
	if json.Unmarshal(content, &cache) == nil {
		for _, a := range cache.Account {
			n.add("azure-user", a.Username)
			n.add("azure-tenant", a.Realm)
			n.add("azure-object-id", a.LocalID)
			n.add("azure-home-account", a.HomeID)
		}
		for _, r := range cache.RefreshToken {
			n.add("azure-client-id", r.ClientID)
		}
	}
	var principals []struct {
		ClientID string `json:"client_id"`
		Tenant   string `json:"tenant"`
	}
	if json.Unmarshal(content, &principals) == nil {
		for _, p := range principals {
			n.add("azure-client-id", p.ClientID)
			n.add("azure-tenant", p.Tenant)
		}
	}
	var profile struct {
		Subscriptions []struct {
			TenantID string `json:"tenantId"`
			User     struct {
				Name string `json:"name"`
			} `json:"user"`
		} `json:"subscriptions"`
	}
	text := strings.TrimPrefix(string(around.Sibling("azureProfile.json")), "\uFEFF")
	if json.Unmarshal([]byte(text), &profile) == nil {
		for _, s := range profile.Subscriptions {
			n.add("azure-tenant", s.TenantID)
			n.add("azure-user", s.User.Name)
		}
	}
}

func docker(content []byte, _ Around, n *notes) {
	type login struct {
		Auth     string `json:"auth"`
		Username string `json:"username"`
	}
	var f struct {
		Auths map[string]login `json:"auths"`
	}
	_ = json.Unmarshal(content, &f) // an old file has no "auths"
	if len(f.Auths) == 0 {
		_ = json.Unmarshal(content, &f.Auths)
	}
	n.until(never)
	for registry, l := range f.Auths {
		n.add("docker-registry", registry)
		n.add("docker-user", l.Username)
		if pair, err := base64.StdEncoding.DecodeString(l.Auth); err == nil {
			if user, _, ok := strings.Cut(string(pair), ":"); ok {
				n.add("docker-user", user)
			}
		}
	}
}

var tfBlock = regexp.MustCompile(`(?m)^\s*credentials\s+"([^"]{1,253})"`)

func terraform(content []byte, _ Around, n *notes) {
	n.until(never)
	var f struct {
		Credentials map[string]json.RawMessage `json:"credentials"`
	}
	if json.Unmarshal(content, &f) == nil {
		for host := range f.Credentials {
			n.add("terraform-host", host)
		}
		return
	}
	for _, m := range tfBlock.FindAllSubmatch(content, maxIdentifiers) {
		n.add("terraform-host", string(m[1]))
	}
}

func gh(content []byte, _ Around, n *notes) {
	var f map[string]struct {
		User  string `yaml:"user"`
		Token string `yaml:"oauth_token"`
		Users map[string]struct {
			Token string `yaml:"oauth_token"`
		} `yaml:"users"`
	}
	n.until(never)
	if yaml.Unmarshal(content, &f) != nil {
		return
	}
	for host, h := range f {
		n.add("github-host", host)
		n.add("github-user", h.User)
		n.add("github-token-sha256", githubHash(h.Token))
		for user, of := range h.Users {
			n.add("github-user", user)
			n.add("github-token-sha256", githubHash(of.Token))
		}
	}
}
