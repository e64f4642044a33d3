package purge_test

import (
	"os"
	"strings"
	"testing"

	"cutoff/platform/platformtest"
)

// secret marks every secret byte of the tests' homes.
const secret = "s3cr3tByTe"

// furnish fills a home with every product of the catalogue and ordinary files.
func furnish(r *platformtest.Root, u platformtest.User) {
	for name, content := range credentials {
		r.File(u, u.Home+"/"+name, content)
	}
	for name, content := range ordinary {
		r.File(u, u.Home+"/"+name, content)
	}
}

var ordinary = map[string]string{
	"Documents/report.txt": "figures", "code/main.go": "package main", ".bashrc": "alias ll='ls -l'\n",
	".ssh/id_ed25519.pub": "ssh-ed25519 AAAA alice\n", ".ssh/known_hosts": "github.com ssh-ed25519 AAAA\n", ".ssh/config": "Host *\n  User alice\n  IdentityFile ~/keys/work\n",
	".gitconfig": "[user]\n\tname = Alice\n", ".config/gcloud/configurations/config_default": "[core]\naccount = alice@example.com\n",
	".azure/azureProfile.json": `{"subscriptions":[{"tenantId":"t-1","user":{"name":"alice@example.com"}}]}`, ".aws/notes.txt": "hello",
}

const pemKey = "-----BEGIN OPENSSH PRIVATE KEY-----\n" + secret + "\n-----END OPENSSH PRIVATE KEY-----\n"

var credentials = map[string]string{
	".aws/credentials":                                    "[default]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = " + secret + "\n",
	".aws/config":                                         "# mine\n[default]\nregion = eu-west-1\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = " + secret + "\n\n[profile x]\nsso_start_url = https://acme.awsapps.com/start\n",
	".aws/sso/cache/1.json":                               `{"startUrl":"https://acme.awsapps.com/start","region":"eu-west-1","accessToken":"` + secret + `","expiresAt":"2031-01-01T00:00:00Z"}`,
	".aws/cli/cache/2.json":                               `{"Credentials":{"AccessKeyId":"ASIAIOSFODNN7EXAMPLE","SecretAccessKey":"` + secret + `","Expiration":"2031-01-02T00:00:00Z"},"AssumedRoleUser":{"Arn":"arn:aws:sts::1:assumed-role/r/s"}}`,
	".aws/login/cache/3.json":                             `{"accessToken":{"accessKeyId":"ASIAIOSFODNN7EXAMPL2","secretAccessKey":"` + secret + `"},"refreshToken":"` + secret + `"}`,
	".config/gcloud/credentials.db":                       "SQLite format 3\x00..alice@example.com{\"refresh_token\": \"" + secret + "\"}",
	".config/gcloud/access_tokens.db":                     "SQLite format 3\x00" + secret,
	".config/gcloud/legacy_credentials/a@b.com/adc.json":  `{"client_id":"id-1","type":"authorized_user","refresh_token":"` + secret + `"}`,
	".config/gcloud/application_default_credentials.json": `{"type":"service_account","client_email":"sa@p.iam.gserviceaccount.com","private_key_id":"kid1","private_key":"` + secret + `"}`,
	".azure/msal_token_cache.json":                        `{"Account":{"a":{"username":"alice@example.com","realm":"t-1"}},"RefreshToken":{"r":{"secret":"` + secret + `","client_id":"c-1"}}}`,
	".kube/config":                                        "apiVersion: v1\nclusters:\n- cluster:\n    server: https://k8s.example:6443\n  name: prod\nusers:\n- name: admin # me\n  user:\n    token: " + secret + "\n    client-key: keys/admin.key\n",
	".kube/keys/admin.key":                                pemKey,
	".docker/config.json":                                 "{\n\t\"auths\": {\n\t\t\"ghcr.io\": {\"auth\": \"" + secret + "\"}\n\t},\n\t\"detachKeys\": \"ctrl-q\"\n}\n",
	".terraform.d/credentials.tfrc.json":                  `{"credentials":{"app.terraform.io":{"token":"` + secret + `"}}}`,
	".terraformrc":                                        "plugin_cache_dir = \"$HOME/.cache\"\ncredentials \"tf.example\" {\n  token = \"" + secret + "\"\n}\n",
	".vault-token":                                        "hvs." + secret,
	".config/gh/hosts.yml":                                "github.com:\n    user: alice\n    oauth_token: gho_" + secret + "\n    git_protocol: ssh\n",
	".git-credentials":                                    "https://alice:" + secret + "@git.example\n",
	".netrc":                                              "machine api.example\n  login alice\n  password " + secret + "\n",
	".npmrc":                                              "registry=https://registry.npmjs.org/\n//registry.npmjs.org/:_authToken=npm_" + secret + "\nsave-exact=true\n",
	".pypirc":                                             "[distutils]\nindex-servers = pypi\n\n[pypi]\nusername = __token__\npassword = pypi-" + secret + "\n",
	".cargo/credentials.toml":                             "[registry]\ntoken = \"" + secret + "\"\n",
	".cargo/config.toml":                                  "[build]\njobs = 4\n[registries.corp]\nindex = \"sparse+https://x\"\ntoken = \"" + secret + "\" # corp\n",
	".pgpass":                                             "db.example:5432:app:alice:" + secret + "\n",
	".pg_service.conf":                                    "[app]\nhost=db.example\nuser=alice\npassword=" + secret + "\n",
	".config/rclone/rclone.conf":                          "[s3]\ntype = s3\naccess_key_id = AKIAIOSFODNN7EXAMPLE\nsecret_access_key = " + secret + "\nregion = eu-west-1\n",
	".ssh/id_ed25519":                                     pemKey,
	"keys/work":                                           pemKey,
	".bash_history":                                       "curl -H token:" + secret + "\n",
	".zsh_sessions/1.history":                             secret,
}

func TestAPurgeTakesEverySecretAndNothingElse(t *testing.T) {
	b := newBench(t, platformtest.Users()...)
	for _, u := range platformtest.Users() {
		furnish(b.root, u)
	}
	before := platformtest.Take(t, b.root.Dir)
	r := b.purge()
	for _, i := range r.Items {
		if i.GetOutcome() != verified {
			t.Errorf("%s: %s %s %s", i.GetPath(), i.GetAction(), i.GetOutcome(), i.GetDetail())
		}
	}
	noSecretBelow(t, b.root.Dir)
	edited := map[string]bool{".aws/config": true, ".kube/config": true, ".docker/config.json": true, ".terraformrc": true, ".config/gh/hosts.yml": true,
		".netrc": true, ".npmrc": true, ".pypirc": true, ".cargo/config.toml": true, ".pg_service.conf": true, ".config/rclone/rclone.conf": true}
	after := platformtest.Take(t, b.root.Dir)
	for _, u := range platformtest.Users() {
		for name := range ordinary {
			key := strings.TrimPrefix(u.Home+"/"+name, "/")
			if after[key] != before[key] {
				t.Errorf("%s changed: %s, was %s", key, after[key], before[key])
			}
		}
		for name := range credentials {
			_, there := after[strings.TrimPrefix(u.Home+"/"+name, "/")]
			if there != edited[name] {
				t.Errorf("%s of %s: there=%t, want %t", name, u.Name, there, edited[name])
			}
		}
	}
	if !r.Complete || r.FirstRemovedBoot == 0 || r.FinishedBoot < r.FirstRemovedBoot || r.CatalogueVersion == "" {
		t.Errorf("result %+v lacks something", r)
	}
}

// noSecretBelow looks for the secret in every file.
func noSecretBelow(t *testing.T, dir string) {
	t.Helper()
	for name, line := range platformtest.Take(t, dir) {
		if !strings.HasPrefix(line, "-") {
			continue // no regular file: a FIFO would hold the test up
		}
		data, err := os.ReadFile(dir + "/" + name)
		if err == nil && strings.Contains(string(data), secret) {
			t.Errorf("%s still holds a secret", name)
		}
	}
}

func TestAPlanListsWhatAPurgeTakesAndTouchesNothing(t *testing.T) {
	b := newBench(t, platformtest.Users()...)
	for _, u := range platformtest.Users() {
		furnish(b.root, u)
	}
	before := platformtest.Take(t, b.root.Dir)
	planned := b.plan()
	if diff := before.Diff(platformtest.Take(t, b.root.Dir)); len(diff) > 0 {
		t.Fatalf("plan changed %s", strings.Join(diff, "\n"))
	}
	done := b.purge().Items
	if len(planned) != len(done) {
		t.Fatalf("planned %s\ndone %s", list(planned), list(done))
	}
	for n := range done {
		if planned[n].GetId() != done[n].GetId() || planned[n].GetAction() != done[n].GetAction() {
			t.Errorf("planned %s %s, did %s %s", planned[n].GetPath(), planned[n].GetAction(), done[n].GetPath(), done[n].GetAction())
		}
		for _, id := range planned[n].GetIdentifiers() {
			if strings.Contains(id.GetValue(), secret) {
				t.Errorf("%s: identifier %s holds the secret", planned[n].GetPath(), id.GetKind())
			}
		}
	}
}

func TestALiftPutsEverythingBackAsItWas(t *testing.T) {
	b := newBench(t, platformtest.Users()...)
	for _, u := range platformtest.Users() {
		furnish(b.root, u)
	}
	decorate(t, b.root, user("alice"))
	before := platformtest.Take(t, b.root.Dir)
	sealed := b.seal()
	for _, i := range sealed.Items {
		if i.GetOutcome() != verified || !i.GetSealed() || i.GetDetail() != "sealed" {
			t.Errorf("%s: %s %s %s sealed=%t", i.GetPath(), i.GetAction(), i.GetOutcome(), i.GetDetail(), i.GetSealed())
		}
	}
	noSecretBelow(t, b.root.Dir)
	noSecretBelow(t, b.state)
	lifted := b.lift()
	if len(lifted.Items) != len(sealed.Items) {
		t.Errorf("sealed %d, lifted %d", len(sealed.Items), len(lifted.Items))
	}
	for _, i := range lifted.Items {
		want(t, i, i.GetAction(), verified, "restored")
	}
	if diff := before.Diff(platformtest.Take(t, b.root.Dir)); len(diff) > 0 {
		t.Errorf("not as it was:\n%s", strings.Join(diff, "\n"))
	}
	left, err := os.ReadDir(b.state + "/sealed")
	if err != nil || len(left) > 0 {
		t.Errorf("%d sealed copies left, %v", len(left), err)
	}
}
