// Package system runs the agent on a whole system of its own, a container with
// systemd, logind and people who log in, where it works without --root. Its
// tests are built with the tag system and need root; make test-system runs
// them. It holds tests only.
package system
