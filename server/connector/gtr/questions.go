package gtr

import "cutoff/server/connector/config"

// Questions are what adding one asks for.
func Questions() []config.Question {
	return []config.Question{
		{Key: "product", About: "the provider's name", Optional: true},
		{Key: "endpoint", About: "the address of its global token revocation, like https://login.example.com/global-token-revocation", Address: true},
		{Key: "subject", About: "how it names people: email, iss_sub (issuer and account) or opaque (account)", Default: formatEmail},
		{Key: "issuer", About: "the issuer of its accounts, where subject is iss_sub", Optional: true},
		{Key: "member", About: "what the request calls the subject: sub_id, or subject at Auth0", Default: "sub_id"},
		{Key: "auth", About: "how this server shows who it is: jwt (a private key), bearer (a token) or oauth (client credentials)", Default: authJWT},
		{Key: "client_id", About: "this server's client id there (jwt, oauth)", Default: "cutoff"},
		{Key: "key_id", About: "the id of the key there, if it wants one (jwt)", Optional: true},
		{Key: "token_url", About: "where a token is had (oauth)", Optional: true, Address: true},
		{Key: "scope", About: "the scope to ask for (oauth)", Optional: true},
		{Key: "access_token_life", About: "how long an access token lives there, like 1h, or unbounded", Default: "1h"},
		{Key: secretName, About: "a file that holds the private key in PEM or as a JWK (jwt: RSA or P-256), the token (bearer) or the client's secret (oauth)", Secret: true, File: true},
	}
}
