// Package person holds whom a device is assigned to, with the accounts that
// person has at each provider. It must not know how people are stored, nor what
// a provider does with an account.
package person

import (
	"fmt"
	"net/mail"
	"strings"
	"time"
	"unicode"
)

// Limits of what one person may carry.
const (
	maxName     = 200
	maxAccount  = 320
	maxAccounts = 64
)

// Person is whom a device is assigned to.
type Person struct {
	ID string
	// Email names the person to people; it is unique, lower case.
	Email     string
	Name      string
	Accounts  []Account
	CreatedAt time.Time
}

// Account is a person's account at one connector.
type Account struct {
	Connector string
	Account   string
}

// Email returns text as an address that can name a person: one bare address,
// in lower case.
func Email(text string) (string, error) {
	text = strings.TrimSpace(text)
	address, err := mail.ParseAddress(text)
	if err != nil || address.Address != text || address.Name != "" || len(text) > maxAccount {
		return "", fmt.Errorf("%.80q is not an e-mail address", text)
	}
	return strings.ToLower(text), nil
}

// Check says what is wrong with the person's name or accounts, or nil.
func (p *Person) Check() error {
	if len(p.Name) > maxName || !printable(p.Name) {
		return fmt.Errorf("the name must be at most %d bytes of printable text", maxName)
	}
	if len(p.Accounts) > maxAccounts {
		return fmt.Errorf("%d accounts, at most %d", len(p.Accounts), maxAccounts)
	}
	for _, a := range p.Accounts {
		switch {
		case a.Connector == "" || a.Account == "":
			return fmt.Errorf("an account needs a connector and a name at it")
		case len(a.Connector) > 64 || !printable(a.Connector):
			return fmt.Errorf("%.80q is not the name of a connector", a.Connector)
		case len(a.Account) > maxAccount || !printable(a.Account):
			return fmt.Errorf("the account at %s must be at most %d bytes of printable text", a.Connector, maxAccount)
		}
	}
	return nil
}

func printable(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
}
