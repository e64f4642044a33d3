package posture

import (
	"errors"
	"fmt"

	"golang.org/x/sys/windows/registry"
)

const (
	firewallPolicy = `SOFTWARE\Policies\Microsoft\WindowsFirewall\`
	firewallLocal  = `SYSTEM\CurrentControlSet\Services\SharedAccess\Parameters\FirewallPolicy\`
)

// firewallOn reports whether Windows Defender Firewall is on in every profile;
// a group policy has the last word. Another maker's firewall is not seen.
func firewallOn() (bool, error) {
	for _, profile := range []string{"DomainProfile", "StandardProfile", "PublicProfile"} {
		on, err := profileOn(firewallPolicy + profile)
		if errors.Is(err, registry.ErrNotExist) {
			on, err = profileOn(firewallLocal + profile)
		}
		if err != nil {
			return false, fmt.Errorf("firewall profile %s: %w", profile, err)
		}
		if !on {
			return false, nil
		}
	}
	return true, nil
}

func profileOn(path string) (bool, error) {
	key, err := registry.OpenKey(registry.LOCAL_MACHINE, path, registry.QUERY_VALUE)
	if err != nil {
		return false, err
	}
	defer func() { _ = key.Close() }()
	value, _, err := key.GetIntegerValue("EnableFirewall")
	return value == 1, err
}
