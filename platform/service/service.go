// Package service makes the agent a service of the operating system: started
// at boot, started again when it ends, told when to stop. It must not know what
// the agent does.
package service

import (
	"context"
	"errors"
	"fmt"

	"github.com/kardianos/service"
)

// Spec says what to install and how it is started.
type Spec struct {
	// Name is the service's, without spaces; Title and Description are for people.
	Name        string
	Title       string
	Description string
	// Executable is the absolute path of the program, Arguments its arguments.
	Executable string
	Arguments  []string
}

// ErrNoSystem says that the machine has no service manager that is known.
var ErrNoSystem = errors.New("no service manager found")

// Install registers the service and starts it.
func Install(spec Spec) error {
	s, err := manager(spec)
	if err != nil {
		return err
	}
	if err := s.Install(); err != nil {
		return fmt.Errorf("install service: %w", err)
	}
	if err := s.Start(); err != nil {
		return fmt.Errorf("start service: %w", err)
	}
	return nil
}

// Uninstall stops the service and removes it.
func Uninstall(spec Spec) error {
	s, err := manager(spec)
	if err != nil {
		return err
	}
	_ = s.Stop() // it may not run
	if err := s.Uninstall(); err != nil {
		return fmt.Errorf("remove service: %w", err)
	}
	return nil
}

// Run runs work until it ends, ctx ends or the service manager says stop. It
// works the same when started by hand.
func Run(ctx context.Context, spec Spec, work func(ctx context.Context) error) error {
	return run(ctx, spec, work)
}

func manager(spec Spec) (service.Service, error) {
	if service.ChosenSystem() == nil {
		return nil, ErrNoSystem
	}
	s, err := service.New(idle{}, &service.Config{
		Name: spec.Name, DisplayName: spec.Title, Description: spec.Description,
		Executable: spec.Executable, Arguments: spec.Arguments,
		Option: service.KeyValue{
			"SystemdScript": systemdUnit, "OnFailure": "restart", "OnFailureDelayDuration": "1s",
			"OnFailureResetPeriod": 60, "KeepAlive": true, "RunAtLoad": true,
		},
	})
	if err != nil {
		return nil, fmt.Errorf("service manager: %w", err)
	}
	return s, nil
}

// idle fills the library's place for a program: Run does not go through it.
type idle struct{}

func (idle) Start(service.Service) error { return nil }

func (idle) Stop(service.Service) error { return nil }

// systemdUnit is the library's own unit but for the pause before a restart: a
// device without its agent for two minutes is a device nobody can cut.
const systemdUnit = `[Unit]
Description={{Description}}
After=network.target
ConditionFileIsExecutable={{Path | cmdEscape}}
StartLimitIntervalSec=0

[Service]
ExecStart={{Path | cmdEscape}}{{range Arguments}} {{. | cmd}}{{end}}
Restart=always
RestartSec=1
RestartPreventExitStatus=2
UMask=0077
LimitNOFILE=4096

[Install]
WantedBy=multi-user.target
`
