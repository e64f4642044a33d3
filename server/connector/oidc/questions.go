package oidc

import "cutoff/server/connector/config"

// Questions are what adding a connector of this kind asks for.
func Questions() []config.Question {
	return []config.Question{
		{Key: "issuer", Address: true, About: "the provider's issuer, like https://login.example.com/realms/main; its endpoints are found there"},
		{Key: "client.id", About: "the id of a client that may revoke and introspect tokens"},
		{Key: "client.secret", Secret: true, About: "that client's secret"},
		{Key: "client.auth", Default: "basic", About: "how the client shows its secret: basic or post"},
		{Key: "access_token_life", Default: "1h", About: "how long an access token lives, like 1h"},
		{Key: "product", Optional: true, About: "what to call the provider"},
	}
}
