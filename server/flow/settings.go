package flow

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"cutoff/server/evidence"
)

// NoteSettings compares what the configuration file says now with what it said
// at the last start, and records each change; before the first start, the
// built-in values count as the last. The file is the one place limits come
// from, so a limit that was raised for an hour still shows.
func (f *Flow) NoteSettings(ctx context.Context, settings, builtIn map[string]string) error {
	err := f.store.Update(ctx, func(tx Tx) error {
		kept, err := tx.Settings(ctx)
		if err != nil {
			return err
		}
		for _, name := range slices.Sorted(maps.Keys(settings)) {
			last, ok := kept[name]
			if !ok {
				last = builtIn[name]
			}
			if !ok || last != settings[name] {
				if err := tx.PutSetting(ctx, name, settings[name]); err != nil {
					return err
				}
			}
			if last == settings[name] {
				continue
			}
			event := evidence.Event{Kind: "setting.changed", Actor: "server", Fields: []evidence.Field{
				{Name: "name", Value: name}, {Name: "from", Value: last}, {Name: "to", Value: settings[name]},
			}}
			if err := f.record(ctx, tx, event); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("note settings: %w", err)
	}
	return nil
}
