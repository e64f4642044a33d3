package iamtest

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
)

const made = "2026-01-02T03:04:05Z"

// act does one call; code is an error's, or empty.
func (s *Server) act(action string, form url.Values) (value map[string]any, code string) {
	switch action {
	case "GetCallerIdentity":
		account := strings.Split(s.Caller+":::::", ":")[4]
		return map[string]any{"Account": account, "Arn": s.Caller, "UserId": "AIDAEXAMPLEEXAMPLE"}, ""
	case "GetAccessKeyInfo":
		if account, ok := s.Foreign[form.Get("AccessKeyId")]; ok {
			return map[string]any{"Account": account}, ""
		}
		return map[string]any{"Account": Account}, ""
	case "SimulatePrincipalPolicy":
		return s.simulate(form)
	case "GetAccessKeyLastUsed":
		return s.lastUsed(form.Get("AccessKeyId"))
	}
	if strings.HasSuffix(action, "RolePolicy") {
		role := s.Roles[form.Get("RoleName")]
		if role == nil {
			return nil, "NoSuchEntity"
		}
		if role.Managed && action != "GetRolePolicy" {
			return nil, "UnmodifiableEntity"
		}
		return s.policy(action, "RoleName", form, role.Policies, 10240)
	}
	user := s.Users[form.Get("UserName")]
	if user == nil {
		return nil, "NoSuchEntity"
	}
	if strings.HasSuffix(action, "UserPolicy") {
		return s.policy(action, "UserName", form, user.Policies, 2048)
	}
	return user.act(action, form)
}

func (u *User) act(action string, form url.Values) (map[string]any, string) {
	name := form.Get("UserName")
	switch action {
	case "ListAccessKeys":
		ids := make([]string, 0, len(u.Keys))
		for id := range u.Keys {
			ids = append(ids, id)
		}
		slices.Sort(ids)
		// One at a time, to show that lists are read to their end.
		after, _ := strconv.Atoi(form.Get("Marker"))
		list := []any{}
		if after < len(ids) {
			list = append(list, map[string]any{"UserName": name, "AccessKeyId": ids[after], "Status": u.Keys[ids[after]], "CreateDate": made})
		}
		out := map[string]any{"AccessKeyMetadata": list, "IsTruncated": false}
		if after+1 < len(ids) {
			out["IsTruncated"], out["Marker"] = true, strconv.Itoa(after+1)
		}
		return out, ""
	case "UpdateAccessKey":
		if u.Keys[form.Get("AccessKeyId")] == "" {
			return nil, "NoSuchEntity"
		}
		u.Keys[form.Get("AccessKeyId")] = form.Get("Status")
		return nil, ""
	case "GetUser":
		return map[string]any{"User": map[string]any{
			"UserName": name, "Path": "/", "UserId": "AIDAEXAMPLEEXAMPLE", "Arn": "arn:aws:iam::" + Account + ":user/" + name, "CreateDate": made,
		}}, ""
	case "GetLoginProfile", "DeleteLoginProfile":
		if !u.Password {
			return nil, "NoSuchEntity"
		}
		u.Password = action == "GetLoginProfile"
		return map[string]any{"LoginProfile": map[string]any{"UserName": name, "CreateDate": made}}, ""
	}
	return nil, "InvalidAction"
}

// policy reads and writes inline policies; a write is not seen by the reads
// that Stale counts.
func (s *Server) policy(action, of string, form url.Values, policies map[string]string, room int) (map[string]any, string) {
	name, entity := form.Get("PolicyName"), of+form.Get(of)
	old := map[string]string{}
	for k, v := range policies {
		old[k] = v
	}
	switch {
	case strings.HasPrefix(action, "Get"):
		shown := policies
		if s.Stale > 0 && s.before[entity] != nil {
			s.Stale--
			shown = s.before[entity]
		}
		text, ok := shown[name]
		if !ok {
			return nil, "NoSuchEntity"
		}
		return map[string]any{of: form.Get(of), "PolicyName": name, "PolicyDocument": strings.ReplaceAll(url.QueryEscape(text), "+", "%20")}, ""
	case strings.HasPrefix(action, "Put"):
		total := len(form.Get("PolicyDocument"))
		for k, v := range policies {
			if k != name {
				total += len(v)
			}
		}
		if total > room {
			return nil, "LimitExceeded"
		}
		s.before[entity] = old
		policies[name] = form.Get("PolicyDocument")
	default:
		if _, ok := policies[name]; !ok {
			return nil, "NoSuchEntity"
		}
		s.before[entity] = old
		delete(policies, name)
	}
	return nil, ""
}

func (s *Server) lastUsed(key string) (map[string]any, string) {
	if _, ok := s.Foreign[key]; ok {
		return nil, "AccessDenied"
	}
	for name, u := range s.Users {
		if u.Keys[key] != "" {
			return map[string]any{"UserName": name, "AccessKeyLastUsed": map[string]any{"LastUsedDate": made, "ServiceName": "s3", "Region": "us-east-1"}}, ""
		}
	}
	return nil, "NoSuchEntity"
}

func (s *Server) simulate(form url.Values) (map[string]any, string) {
	results := []any{}
	for i := 1; form.Get("ActionNames.member."+strconv.Itoa(i)) != ""; i++ {
		action := form.Get("ActionNames.member." + strconv.Itoa(i))
		decision := "allowed"
		if slices.Contains(s.Denied, action) {
			decision = "implicitDeny"
		}
		results = append(results, map[string]any{"EvalActionName": action, "EvalResourceName": "*", "EvalDecision": decision})
	}
	return map[string]any{"EvaluationResults": results, "IsTruncated": false}, ""
}
