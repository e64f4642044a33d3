package aws

import (
	"context"
	"regexp"
	"slices"
	"strings"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"cutoff/server/connector/config"
	"cutoff/server/revoke"
)

// needed are the permissions, by what they are for.
var needed = []struct {
	what    string
	actions []string
}{
	{"switch access keys off and on", []string{"iam:GetAccessKeyLastUsed", "iam:ListAccessKeys", "iam:UpdateAccessKey"}},
	{"deny sessions of users, and block users", []string{"iam:GetUserPolicy", "iam:PutUserPolicy", "iam:DeleteUserPolicy"}},
	{"deny sessions of roles", []string{"iam:GetRolePolicy", "iam:PutRolePolicy", "iam:DeleteRolePolicy"}},
	{"delete console passwords (cuts of a person at level purge)", []string{"iam:GetLoginProfile", "iam:DeleteLoginProfile"}},
}

// Check asks AWS who this is, and has it simulate each permission; it changes
// nothing.
func (c *Connector) Check(ctx context.Context) []config.Finding {
	who, err := c.sts.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return []config.Finding{{Name: "sign in", Detail: failed(err, revoke.Step{}).Detail}}
	}
	if got := awssdk.ToString(who.Account); got != c.file.account {
		return []config.Finding{{Name: "sign in", Detail: "the key is of account " + plain(got) + ", the file says " + c.file.account}}
	}
	all := []config.Finding{{Name: "sign in", OK: true, Detail: plain(awssdk.ToString(who.Arn))}}
	allowed, err := c.simulate(ctx, principal(awssdk.ToString(who.Arn)))
	if err != nil {
		return append(all, config.Finding{
			Name:   "permissions",
			Detail: "not known (" + failed(err, revoke.Step{}).Detail + "): allow iam:SimulatePrincipalPolicy on its own user and this test says which are missing",
		})
	}
	for _, n := range needed {
		f := config.Finding{Name: n.what, OK: true, Detail: "allowed"}
		var missing []string
		for _, action := range n.actions {
			if !slices.Contains(allowed, action) {
				missing = append(missing, action)
			}
		}
		if len(missing) > 0 {
			f.OK, f.Detail = false, "missing: "+strings.Join(missing, ", ")
		}
		all = append(all, f)
	}
	return all
}

// simulate returns the actions that source may do to anything. Permissions that
// are bound to some users or roles count as missing.
func (c *Connector) simulate(ctx context.Context, source string) ([]string, error) {
	in := &iam.SimulatePrincipalPolicyInput{PolicySourceArn: &source}
	for _, n := range needed {
		in.ActionNames = append(in.ActionNames, n.actions...)
	}
	var allowed []string
	for range maxPages {
		out, err := c.iam.SimulatePrincipalPolicy(ctx, in)
		if err != nil {
			return nil, err
		}
		for i := range out.EvaluationResults {
			if r := out.EvaluationResults[i]; r.EvalDecision == types.PolicyEvaluationDecisionTypeAllowed {
				allowed = append(allowed, awssdk.ToString(r.EvalActionName))
			}
		}
		if !out.IsTruncated || out.Marker == nil {
			return allowed, nil
		}
		in.Marker = out.Marker
	}
	return nil, errTooMany
}

// principal is the user or role behind an ARN: IAM simulates no sessions.
func principal(arn string) string {
	m := assumed.FindStringSubmatch(arn)
	if m == nil {
		return arn
	}
	partition, _, _ := strings.Cut(strings.TrimPrefix(arn, "arn:"), ":")
	return "arn:" + partition + ":iam::" + m[1] + ":role/" + m[2]
}

var printable = regexp.MustCompile(`^[ -~]{0,256}$`)

// plain lets through an answer's words that are fit to be shown.
func plain(text string) string {
	if printable.MatchString(text) {
		return text
	}
	return "?"
}

// accountOf is the account a key belongs to.
func (c *Connector) accountOf(ctx context.Context, key string) (string, error) {
	out, err := c.sts.GetAccessKeyInfo(ctx, &sts.GetAccessKeyInfoInput{AccessKeyId: &key})
	if err != nil {
		return "", err
	}
	if got := awssdk.ToString(out.Account); accountForm.MatchString(got) {
		return got, nil
	}
	return "", nil
}
