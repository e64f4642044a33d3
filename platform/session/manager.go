package session

import (
	"context"
	"net"
)

// ManagerVariables returns the named variables that the user's service manager
// gives to what it starts. conn is a connection to his bus, which is taken over.
// Nothing is started, and every other variable is dropped unread by the caller.
func ManagerVariables(ctx context.Context, conn net.Conn, names []string) (map[string][]string, error) {
	return managerVariables(ctx, conn, names)
}

// named takes the named variables out of a list of NAME=value.
func named(list []string, names []string) map[string][]string {
	wanted := map[string]bool{}
	for _, n := range names {
		wanted[n] = true
	}
	found := map[string][]string{}
	for _, entry := range list {
		pick([]byte(entry), wanted, found)
	}
	return found
}
