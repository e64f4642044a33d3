package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
)

// serialFiles hold it on machines with DMI and with a device tree.
var serialFiles = [...]string{"/sys/class/dmi/id/product_serial", "/sys/firmware/devicetree/base/serial-number"}

func serial(context.Context) (string, error) {
	for _, path := range serialFiles {
		text, err := line(path)
		switch {
		case err == nil:
			return text, nil
		case errors.Is(err, fs.ErrPermission):
			return "", fmt.Errorf("read serial number: %w", err)
		}
	}
	return "", errors.New("the machine has neither DMI nor a device tree serial number")
}
