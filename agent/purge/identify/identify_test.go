package identify_test

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"cutoff/agent/purge/catalogue"
	"cutoff/agent/purge/identify"
)

const secret = "s3cr3tByTe"

// folder is what lies beside a file.
type folder struct {
	name  string
	files map[string]string
}

func (f folder) Name() string { return f.name }

func (f folder) Sibling(name string) []byte {
	if text, ok := f.files[name]; ok {
		return []byte(text)
	}
	return nil
}

func token(claims string) string {
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(`{"alg":"RS256"}`)) + "." + encode([]byte(claims)) + "." + encode([]byte(secret))
}

const publicKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA x"

func fingerprint(t *testing.T, line string) string {
	t.Helper()
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
	if err != nil {
		t.Fatal(err)
	}
	return ssh.FingerprintSHA256(key)
}

func TestCredentialsAreNamedWithoutTheirSecrets(t *testing.T) {
	year := time.Date(2031, 1, 2, 3, 4, 5, 0, time.UTC)
	basic := base64.StdEncoding.EncodeToString([]byte("alice:" + secret))
	for _, c := range []struct {
		name, reader, text string
		want               []string
		until              time.Time
		beside             folder
	}{
		{name: "an AWS key file", reader: "aws-credentials", text: "[default]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = " + secret + "\n[role]\nrole_arn = arn:aws:iam::1:role/r\n",
			want: []string{"aws-profile default", "aws-access-key-id AKIAIOSFODNN7EXAMPLE", "aws-role-arn arn:aws:iam::1:role/r"}},
		{name: "a secret in the line of the key id", reader: "aws-credentials", text: "[a]\naws_access_key_id = " + secret + "wJalrXUtnFEMI/K7MDENG\n", want: []string{"aws-profile a"}},
		{name: "an SSO token", reader: "aws-sso", text: `{"startUrl":"https://u:p@acme.awsapps.com/start?x=1","region":"eu-west-1","accessToken":"` + secret + `","expiresAt":"2031-01-02T03:04:05Z"}`,
			want: []string{"aws-sso-start-url https://acme.awsapps.com/start", "aws-sso-region eu-west-1"}, until: year},
		{name: "an SSO token that renews itself", reader: "aws-sso", text: `{"startUrl":"https://acme.awsapps.com/start","refreshToken":"` + secret + `","expiresAt":"2031-01-02T03:04:05Z"}`,
			want: []string{"aws-sso-start-url https://acme.awsapps.com/start"}},
		{name: "an assumed role", reader: "aws-cli-cache", text: `{"Credentials":{"AccessKeyId":"ASIAIOSFODNN7EXAMPLE","SecretAccessKey":"` + secret + `","Expiration":"2031-01-02T03:04:05+00:00"},"AssumedRoleUser":{"Arn":"arn:aws:sts::1:assumed-role/r/s"}}`,
			want: []string{"aws-access-key-id ASIAIOSFODNN7EXAMPLE", "aws-role-arn arn:aws:sts::1:assumed-role/r/s"}, until: year},
		{name: "a Google service account", reader: "gcp", text: `{"type":"service_account","project_id":"p","private_key_id":"kid","private_key":"` + secret + `","client_email":"sa@p.iam.gserviceaccount.com"}`,
			want: []string{"gcp-client-email sa@p.iam.gserviceaccount.com", "gcp-private-key-id kid", "gcp-project p"}},
		{name: "gcloud's database", reader: "gcloud-store", text: "SQLite format 3\x00\x01alice@example.com{\"refresh_token\": \"" + secret + "\"}",
			want: []string{"gcp-account bob@example.com", "gcp-account alice@example.com"}, beside: folder{name: "credentials.db", files: map[string]string{"configurations/config_default": "[core]\naccount = bob@example.com\n"}}},
		{name: "an Azure token cache", reader: "azure", text: `{"Account":{"a":{"username":"alice@example.com","realm":"tenant","local_account_id":"oid"}},"RefreshToken":{"r":{"secret":"` + secret + `","client_id":"app"}}}`,
			want: []string{"azure-user alice@example.com", "azure-tenant tenant", "azure-object-id oid", "azure-client-id app"}},
		{name: "a kubeconfig with a token that ends", reader: "kubeconfig", text: "clusters: [{cluster: {server: 'https://k:6443'}}]\nusers: [{name: admin, user: {token: " + token(`{"iss":"k8s","sub":"sa:x","jti":"7","exp":1925089445}`) + "}}]\n",
			want: []string{"kube-server https://k:6443", "kube-user admin", "jwt-issuer k8s", "jwt-subject sa:x", "jwt-id 7"}, until: time.Unix(1925089445, 0)},
		{name: "a kubeconfig with a token that does not", reader: "kubeconfig", text: "users: [{name: admin, user: {token: " + secret + "}}]\n", want: []string{"kube-user admin"}},
		{name: "Docker logins", reader: "docker", text: `{"auths":{"ghcr.io":{"auth":"` + basic + `"}}}`, want: []string{"docker-registry ghcr.io", "docker-user alice"}},
		{name: "old Docker logins", reader: "docker", text: `{"ghcr.io":{"auth":"` + basic + `"}}`, want: []string{"docker-registry ghcr.io", "docker-user alice"}},
		{name: "Terraform's tokens", reader: "terraform", text: `{"credentials":{"app.terraform.io":{"token":"` + secret + `"}}}`, want: []string{"terraform-host app.terraform.io"}},
		{name: "Terraform's configuration", reader: "terraform", text: "credentials \"tf.example\" {\n token = \"" + secret + "\"\n}\n", want: []string{"terraform-host tf.example"}},
		{name: "gh's hosts", reader: "gh", text: "github.com:\n    user: alice\n    oauth_token: " + secret + "\n    users:\n        alice:\n            oauth_token: " + secret + "\n",
			want: []string{"github-host github.com", "github-user alice"}},
		{name: "git's passwords", reader: "git-credentials", text: "https://alice:" + secret + "@git.example\nhttps://" + secret + "@github.com\n",
			want: []string{"git-host git.example", "git-user alice", "git-host github.com"}},
		{name: "a netrc", reader: "netrc", text: "machine m login alice password " + secret + "\n", want: []string{"netrc-machine m", "netrc-login alice"}},
		{name: "an npmrc", reader: "npmrc", text: "//npm.example/:_authToken=" + secret + "\n//npm.example/:username=alice\n", want: []string{"npm-registry npm.example", "npm-user alice"}},
		{name: "a pypirc", reader: "pypirc", text: "[pypi]\nusername = __token__\npassword = " + secret + "\nrepository: https://u:" + secret + "@upload.pypi.org/legacy/\n",
			want: []string{"pypi-index pypi", "pypi-repository https://upload.pypi.org/legacy/", "pypi-user __token__"}},
		{name: "Cargo's tokens", reader: "cargo", text: "[registry]\ntoken = \"" + secret + "\"\n[registries.corp]\ntoken = \"" + secret + "\"\n", want: []string{"cargo-registry crates-io", "cargo-registry corp"}},
		{name: "a pgpass", reader: "pgpass", text: "# c\ndb\\:1:5432:app:alice:" + secret + "\n", want: []string{"postgres-login db:1:5432:app:alice"}},
		{name: "rclone's remotes", reader: "rclone", text: "[s3]\ntype = s3\naccess_key_id = AKIAIOSFODNN7EXAMPLE\nsecret_access_key = " + secret + "\n",
			want: []string{"rclone-remote s3", "rclone-type s3", "aws-access-key-id AKIAIOSFODNN7EXAMPLE"}},
		{name: "an old encrypted SSH key", reader: "ssh-key", text: "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n" + base64.StdEncoding.EncodeToString([]byte(secret)) + "\n-----END RSA PRIVATE KEY-----\n",
			want:   []string{"ssh-fingerprint " + fingerprint(t, publicKey), "ssh-key-type ssh-ed25519", "ssh-key-encrypted yes"},
			beside: folder{name: "id_rsa", files: map[string]string{"id_rsa.pub": publicKey}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := identify.Read(c.reader, []byte(c.text), c.beside)
			var names []string
			for _, i := range got.Identifiers {
				names = append(names, i.Kind+" "+i.Value)
				if strings.Contains(i.Value, secret) {
					t.Errorf("%s holds the secret", i.Kind)
				}
			}
			if !slices.Equal(names, c.want) {
				t.Errorf("got  %v\nwant %v", names, c.want)
			}
			if !got.Until.Equal(c.until) {
				t.Errorf("until %v, want %v", got.Until, c.until)
			}
		})
	}
}

func TestGarbageNamesNobodyAndBreaksNothing(t *testing.T) {
	for _, reader := range catalogue.Readers() {
		for _, text := range []string{"", "\x00\xff\xfe", "{", "[[[", "- - -", strings.Repeat("a@b.c ", 10_000), "null", "[]", `{"auths":null}`} {
			got := identify.Read(reader, []byte(text), folder{name: "x"})
			if len(got.Identifiers) > 64 {
				t.Errorf("%s: %d identifiers", reader, len(got.Identifiers))
			}
		}
	}
}

func TestOnlyListedKindsLeave(t *testing.T) {
	f := identify.Read("netrc", []byte("machine m login alice password x"), folder{}).Allow([]string{"netrc-machine"})
	if len(f.Identifiers) != 1 || f.Identifiers[0].Kind != "netrc-machine" {
		t.Errorf("got %v", f.Identifiers)
	}
}

// Every word the catalogue may use is known here, and the reverse.
func TestEveryReaderOfTheCatalogueReads(t *testing.T) {
	samples := map[string]string{"gnupg-key": ring,
		"private-key": token(`{"iss":"x"}`), "certificates": publicKey, "openvpn": "remote vpn.example 1194\n", "tailscale": `{"_profiles":"eyJhIjp7Ik5vZGVJRCI6Im4xIn19"}`, "subversion": "K 8\npassword\nV 1\nx\nK 15\nsvn:realmstring\nV 1\nr\nEND\n", "age-keys": "# public key: age1" + strings.Repeat("q", 58) + "\n",
		"cloudflared": "-----BEGIN ARGO TUNNEL TOKEN-----\n" + base64.StdEncoding.EncodeToString([]byte(`{"zoneID":"z","accountID":"a","apiToken":"x"}`)) + "\n-----END ARGO TUNNEL TOKEN-----\n", "pg-service": "[a]\npassword=x\n", "aws-login": `{"accessToken":{"accessKeyId":"ASIAIOSFODNN7EXAMPLE"}}`,
		"aws-config": "[default]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\n", "ssh-key": "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----", "aws-sso": `{"region":"x"}`}
	text := "[a]\ntype=x\npassword=x\nmachine m\nhttps://a:b@c\n//r/:_auth=x\n[registry]\nh:1:d:u:p\n"
	for _, reader := range catalogue.Readers() {
		sample, ok := samples[reader]
		if !ok {
			sample = text
		}
		got := identify.Read(reader, []byte(sample), folder{name: "x"})
		jsons := []string{"gcp", "gcloud-store", "azure", "kubeconfig", "docker", "terraform", "gh", "aws-cli-cache", "aws-credentials",
			"browser-profile", "firefox-profile", "gnupg-key", "ccache", "certificate-beside"} // see profile_test.go and tokens_test.go
		if len(got.Identifiers) == 0 && !slices.Contains(jsons, reader) {
			t.Errorf("%s reads nothing of %q", reader, sample)
		}
	}
}

func TestFilesThatAFileNamesAreFound(t *testing.T) {
	for _, c := range []struct {
		follower, text string
		files, more    []string
	}{
		{"ssh-config", "Host *\n  IdentityFile ~/keys/a\n\tidentityfile=\"/data/b\"\nIdentityFile %d/.ssh/c\nIdentityFile %h.key\nIdentityFile none\nInclude conf.d/* ~/x\n",
			[]string{"~/keys/a", "/data/b", "~/.ssh/c"}, []string{"~/.ssh/conf.d/*", "~/x"}},
		{"kubeconfig", "users: [{user: {client-key: k.pem}}, {user: {tokenFile: /run/t}}]", []string{"/home/alice/.kube/k.pem", "/run/t"}, nil},
		{"git-config", "[credential]\n\thelper = store --file ~/.secrets/git\n[credential \"https://x\"]\n\thelper = \"store --file=/data/git\"\n[other]\nhelper = store --file /no\n",
			[]string{"~/.secrets/git", "/data/git"}, nil},
	} {
		got := identify.Follow(c.follower, []byte(c.text), "/home/alice/.kube")
		if !slices.Equal(got.Files, c.files) || !slices.Equal(got.More, c.more) {
			t.Errorf("%s: got %v and %v", c.follower, got.Files, got.More)
		}
	}
}

func TestPrivateKeysAreToldByTheirHeader(t *testing.T) {
	for text, want := range map[string]bool{
		"-----BEGIN OPENSSH PRIVATE KEY-----\n": true, "-----BEGIN RSA PRIVATE KEY-----": true, "PuTTY-User-Key-File-3: ssh-ed25519": true,
		"ssh-ed25519 AAAA x": false, "-----BEGIN PUBLIC KEY-----": false, "": false, fmt.Sprintf("%5000s-----BEGIN PRIVATE KEY-----", ""): false,
	} {
		if got := identify.Test("private-key", []byte(text)); got != want {
			t.Errorf("%.40q: got %t", text, got)
		}
	}
	if identify.Test("gcp-credential", []byte(`{"type":"thesis"}`)) || !identify.Test("gcp-credential", []byte(`{"type":"external_account"}`)) {
		t.Error("a Google credential is not told by its type")
	}
}
