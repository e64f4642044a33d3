package trial

import (
	"encoding/base64"
	"path/filepath"
	"strings"
)

// developer fills a home with what a developer's machine holds.
func (l *Laptop) developer(u User) {
	l.clouds(u)
	l.clusters(u)
	l.sources(u)
	l.registries(u)
	l.shells(u)
	l.documents(u)
}

func (l *Laptop) clouds(u User) {
	l.home(u, ".aws/credentials", "[default]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = %s\n\n[prod]\naws_access_key_id = ASIAIOSFODNN7EXAMPLE\naws_secret_access_key = %s\naws_session_token = %s\n")
	l.mixed(u, ".aws/config", "# kept by hand\n[default]\nregion = eu-central-1\n\n[profile legacy]\naws_access_key_id = AKIAI44QH8DHBEXAMPLE\naws_secret_access_key = %s\nregion = us-east-1 ; old\n\n[sso-session corp]\nsso_start_url = https://corp.awsapps.com/start\nsso_region = eu-central-1\n")
	l.home(u, ".aws/sso/cache/3f1c9f0c5e7d4f3f2a6b8f9e1d2c3b4a5f6e7d8c.json", `{"startUrl":"https://corp.awsapps.com/start","region":"eu-central-1","accessToken":"%s","expiresAt":"2030-01-01T00:00:00Z","clientId":"c1","clientSecret":"%s","refreshToken":"%s"}`)
	l.home(u, ".aws/sso/cache/botocore-client-id-eu-central-1.json", `{"clientId":"c1","clientSecret":"%s","expiresAt":"2030-01-01T00:00:00Z"}`)
	l.home(u, ".aws/cli/cache/7c2f0d6d8c1b4f5e9a3e2d1c0b9a8f7e6d5c4b3a.json", `{"ProviderType":"assume-role","Credentials":{"AccessKeyId":"ASIAQ3EGVQXEXAMPLE12","SecretAccessKey":"%s","SessionToken":"%s","Expiration":"2030-01-01T00:00:00Z"},"AssumedRoleUser":{"Arn":"arn:aws:sts::123456789012:assumed-role/deploy/alice"}}`)
	l.home(u, ".aws/login/cache/9a8b7c6d.json", `{"accessToken":{"accessKeyId":"ASIAEXAMPLELOGIN0001","secretAccessKey":"%s","sessionToken":"%s"},"refreshToken":"%s"}`)

	l.home(u, ".config/gcloud/credentials.db", "SQLite format 3\x00 credentials alice@example.com %s")
	l.home(u, ".config/gcloud/access_tokens.db", "SQLite format 3\x00 access_tokens alice@example.com %s")
	l.home(u, ".config/gcloud/application_default_credentials.json", "{\n  \"account\": \"\",\n  \"client_id\": \"764086051850-6qr4p6gpi6hn506pt8ejuq83di341hur.apps.googleusercontent.com\",\n  \"client_secret\": \"%s\",\n  \"quota_project_id\": \"corp-dev\",\n  \"refresh_token\": \"%s\",\n  \"type\": \"authorized_user\"\n}\n")
	l.home(u, ".config/gcloud/legacy_credentials/alice@example.com/adc.json", `{"client_id":"32555940559.apps.googleusercontent.com","client_secret":"%s","refresh_token":"%s","type":"authorized_user"}`)
	l.keep(u, ".config/gcloud/configurations/config_default", "[core]\naccount = alice@example.com\nproject = corp-dev\n")

	l.home(u, ".azure/msal_token_cache.json", `{"RefreshToken":{"x":{"secret":"%s","client_id":"04b07795-8ddb-461a-bbee-02f9e1bf7b46"}},"AccessToken":{"y":{"secret":"%s"}}}`)
	l.home(u, ".azure/service_principal_entries.json", `[{"client_id":"11111111-2222-3333-4444-555555555555","tenant":"66666666-7777-8888-9999-000000000000","client_secret":"%s"}]`)
	l.keep(u, ".azure/azureProfile.json", `{"subscriptions":[{"id":"aaaa","user":{"name":"alice@example.com","type":"user"},"tenantId":"66666666-7777-8888-9999-000000000000"}]}`)
	l.mixed(u, ".config/rclone/rclone.conf", "[backup]\ntype = s3\nprovider = Other\naccess_key_id = AKIARCLONEEXAMPLE\nsecret_access_key = %s\nendpoint = https://s3.example.com\n\n[drive]\ntype = drive\ntoken = {\"access_token\":\"%s\",\"refresh_token\":\"%s\"}\n")
}

func (l *Laptop) clusters(u User) {
	l.mixed(u, ".kube/config", `apiVersion: v1
kind: Config
current-context: dev
clusters:
- cluster:
    server: https://k8s.example.com:6443
  name: dev
contexts:
- context: {cluster: dev, user: alice}
  name: dev
users:
# by hand, do not edit
- name: alice
  user:
    token: %s
- name: alice-cert
  user:
    client-certificate-data: Zm9v
    client-key-data: `+base64.StdEncoding.EncodeToString([]byte("not a canary by itself"))+`%s
- name: by-file
  user:
    client-key: prod.key
`)
	l.home(u, ".kube/prod.key", "-----BEGIN EC PRIVATE KEY-----\n%s\n-----END EC PRIVATE KEY-----\n")
	l.mixed(u, "projects/kube-staging.yaml", "apiVersion: v1\nkind: Config\nclusters:\n- name: staging\n  cluster: {server: https://staging.example.com}\nusers:\n- name: ci\n  user:\n    token: \"%s\"\n")
	l.mixed(u, ".docker/config.json", "{\n\t\"auths\": {\n\t\t\"registry.example.com\": {\n\t\t\t\"auth\": \"%s\"\n\t\t},\n\t\t\"https://index.docker.io/v1/\": {\n\t\t\t\"auth\": \"%s\"\n\t\t}\n\t},\n\t\"detachKeys\": \"ctrl-e,e\"\n}\n")
	l.home(u, ".terraform.d/credentials.tfrc.json", `{"credentials":{"app.terraform.io":{"token":"%s"}}}`)
	l.mixed(u, ".terraformrc", "# plugins are shared\nplugin_cache_dir = \"$HOME/.terraform.d/plugin-cache\"\n\ncredentials \"tf.example.com\" {\n  token = \"%s\"\n}\n")
	l.home(u, ".vault-token", "hvs.%s")
}

func (l *Laptop) sources(u User) {
	l.mixed(u, ".config/gh/hosts.yml", "github.com:\n    users:\n        alice-dev:\n            oauth_token: gho_%s\n    git_protocol: ssh\n    oauth_token: gho_%s\n    user: alice-dev\n")
	l.home(u, ".git-credentials", "https://alice:%s@git.example.com\nhttps://alice-dev:%s@github.com\n")
	l.keep(u, ".gitconfig", "[user]\n\tname = Alice\n\temail = alice@example.com\n[credential]\n\thelper = store\n")
	l.home(u, ".netrc", "machine api.example.com\n  login alice\n  password %s\n\nmachine files.example.com login alice password %s\n")
	l.sshKey(u, ".ssh/id_ed25519")
	l.sshKey(u, "keys/deploy")
	l.keep(u, ".ssh/config", "Host *.example.com\n  IdentityFile ~/keys/deploy\n  User alice\n")
	l.keep(u, ".ssh/known_hosts", "git.example.com ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExample\n")
}

func (l *Laptop) registries(u User) {
	l.mixed(u, ".npmrc", "registry=https://registry.npmjs.org/\n; the company's\n@corp:registry=https://npm.example.com/\n//npm.example.com/:_authToken=%s\n//registry.npmjs.org/:_authToken=npm_%s\nsave-exact=true\n")
	l.mixed(u, ".pypirc", "[distutils]\nindex-servers =\n    pypi\n    corp\n\n[pypi]\nusername = __token__\npassword = pypi-%s\n\n[corp]\nrepository = https://pypi.example.com/\nusername = alice\npassword = %s\n")
	l.home(u, ".cargo/credentials.toml", "[registry]\ntoken = \"%s\"\n\n[registries.corp]\ntoken = \"%s\"\n")
	l.home(u, ".pgpass", "db.example.com:5432:app:alice:%s\n# reporting\nreports.example.com:5432:*:alice:%s\n")
}

func (l *Laptop) shells(u User) {
	l.keep(u, ".profile", "export KUBECONFIG=$HOME/.kube/config:$HOME/projects/kube-staging.yaml\nexport EDITOR=vim\n")
	l.keep(u, ".bashrc", "alias ll='ls -l'\n")
	l.home(u, ".bash_history", "ls\ncurl -H 'Authorization: Bearer %s' https://api.example.com\nvim notes.md\n")
	l.home(u, ".zsh_history", ": 1700000000:0;export API_KEY=%s\n")
	l.home(u, ".psql_history", "ALTER USER app PASSWORD '%s';\n")
}

func (l *Laptop) documents(u User) {
	l.keep(u, "Documents/thesis.md", "# Thesis\n\n"+strings.Repeat("A paragraph that nobody must lose.\n", 200))
	l.keep(u, "Documents/aws credentials explained.md", "Put `aws_secret_access_key = wJalr…` into ~/.aws/credentials.\n")
	l.keep(u, "Documents/credentials", "A file of this name that is no credential.\n")
	l.keep(u, "Pictures/holiday.jpg", "\xff\xd8\xff\xe0"+strings.Repeat("pixels", 4000))
	l.keep(u, "work/app/main.go", "package main\n\nfunc main() {}\n")
	l.keep(u, "work/app/.npmrc.example", "//registry.npmjs.org/:_authToken=${NPM_TOKEN}\n")
	l.keep(u, ".ssh/authorized_keys", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExample bob@desk\n")
}

// administrator fills a second home: fewer tools, more power.
func (l *Laptop) administrator(u User) {
	l.home(u, ".aws/credentials", "[admin]\naws_access_key_id=AKIABOBEXAMPLE000001\naws_secret_access_key=%s\n")
	l.mixed(u, ".kube/config", "apiVersion: v1\nkind: Config\nclusters: [{name: prod, cluster: {server: https://prod.example.com}}]\nusers: [{name: admin, user: {token: %s}}]\n")
	l.mixed(u, ".docker/config.json", `{"auths":{"registry.example.com":{"auth":"%s"}},"credsStore":""}`)
	l.home(u, ".config/gcloud/application_default_credentials.json", `{"type":"service_account","project_id":"corp-prod","private_key_id":"0123456789abcdef0123456789abcdef01234567","client_email":"ops@corp-prod.iam.gserviceaccount.com","private_key":"-----BEGIN PRIVATE KEY-----\n%s\n-----END PRIVATE KEY-----\n"}`)
	l.home(u, ".vault-token", "hvs.%s")
	l.home(u, ".pgpass", "*:*:*:postgres:%s\n")
	l.home(u, ".netrc", "default login bob password %s\n")
	l.mixed(u, ".npmrc", "//npm.example.com/:_password=%s\nfund=false\n")
	l.home(u, ".git-credentials", "https://bob:%s@git.example.com\n")
	l.home(u, ".bash_history", "mysql -u root -p%s\n")
	l.sshKey(u, ".ssh/id_ed25519")
	l.keep(u, "Documents/rota.txt", "Monday: bob\nTuesday: alice\n")
	l.keep(u, ".bashrc", "umask 077\n")
}

// Files counts the files of the laptop's homes.
func (l *Laptop) Files() int {
	n := 0
	for range l.Snapshot(filepath.Join(l.Root, "home")) {
		n++
	}
	return n
}
