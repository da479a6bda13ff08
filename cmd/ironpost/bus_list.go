package main

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/event"
)

func (a *app) busListCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "list the keys of hosts and plug-ins",
		Long: `Lists the keys with which others may join, by host: of modules, of an edge, of
the operator and of plug-ins, with the trust of those. MADE is the time of the
file; the certificate in the bundle ends a year after it. Files that the daemon
does not take as keys are named, too.`,
		Example: `  sudo ironpost bus list
  sudo ironpost bus list --json | jq -r '.[] | select(.trust == "peer").module'`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return a.busList() },
	}
}

// listedKey is one element of the --json of bus list.
type listedKey struct {
	Host   string      `json:"host"`
	Module string      `json:"module"`
	Trust  event.Trust `json:"trust,omitempty"`
	Made   time.Time   `json:"made"`
}

func (a *app) busList() error {
	cfg, _, err := a.loadConfig()
	if err != nil {
		return configError(err)
	}
	dir := cfg.Bus.KeysDir()
	keys, _, err := bus.ReadKeys(dir)
	if err != nil {
		return keyError(err)
	}
	refused, err := cfg.RefusedKeys()
	if err != nil {
		return keyError(err)
	}
	for _, err := range refused {
		a.notef("warning: a key that the daemon does not accept: %s", clean(err.Error()))
	}
	list := make([]listedKey, 0, len(keys))
	for _, k := range keys {
		info, err := os.Lstat(filepath.Join(dir, k.FileName()))
		if err != nil {
			return keyError(err)
		}
		list = append(list, listedKey{Host: k.Host, Module: k.Module, Trust: k.Trust, Made: info.ModTime().UTC()})
	}
	slices.SortFunc(list, func(a, b listedKey) int { return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.Module, b.Module)) })
	if a.json {
		return a.printJSON(list)
	}
	table := rows{columns: []column{{"HOST", 24}, {"MODULE", 24}, {"TRUST", 8}, {"MADE", 10}}}
	for _, k := range list {
		table.add(k.Host, k.Module, cmp.Or(string(k.Trust), "-"), k.Made.Format(time.DateOnly))
	}
	a.printTables(table)
	if len(list) == 0 {
		a.notef("no keys in %s", dir)
	}
	return nil
}
