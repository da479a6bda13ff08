package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/services/containerguard"
	"github.com/ironpost/ironpost/services/containerguard/policy"
	"github.com/ironpost/ironpost/services/containerguard/quarantine"
)

// isolateFlags are those of isolate.
type isolateFlags struct {
	kind   string
	reason string
	last   string
	host   string
	force  bool
}

var isolateKinds = []string{"pause", "disconnect", "isolate", "kill", "stop"}

func (a *app) isolateCommand() *cobra.Command {
	var f isolateFlags
	cmd := &cobra.Command{
		Use:   "isolate <container>",
		Short: "freeze a container and take it off its networks",
		Long: `Holds a container, named by its name, its id, or the beginning of it: freezes its
processes, takes it off every network, and keeps evidence of what it was doing. It
stays so, whatever Docker, Compose or a person does to it, until it is released.

With --kind only a part of that is done: pause freezes, disconnect takes the networks,
kill ends it at once, stop freezes, keeps evidence, then ends it.

A protected container is refused; --force overrides that, but never for the guard's own.`,
		Example: `  ironpost isolate web-1
  ironpost isolate 4f6c1b2a9d3e --for 2h --reason "odd outbound traffic"
  ironpost isolate web-1 --kind pause`,
		Args: oneArg,
		RunE: func(cmd *cobra.Command, args []string) error { return a.isolate(cmd.Context(), args[0], f) },
	}
	cmd.Flags().StringVar(&f.kind, "kind", "isolate", "what is done: "+strings.Join(isolateKinds, ", "))
	cmd.Flags().StringVar(&f.reason, "reason", "", "why, for those who wonder later")
	cmd.Flags().StringVar(&f.last, "for", "", "how `long`, such as 30m, 2h or 1d (default: until it is released)")
	hostFlag(cmd, &f.host)
	cmd.Flags().BoolVar(&f.force, "force", false, "even if the container is protected")
	complete(cmd, "kind", isolateKinds...)
	return cmd
}

func (a *app) isolate(ctx context.Context, container string, f isolateFlags) error {
	req := containerguard.IsolateRequest{Container: container, Kind: policy.Kind(f.kind), Reason: f.reason, Force: f.force}
	if _, known := quarantine.Kind(f.kind).Restrictions(); !known {
		return usage(fmt.Errorf("--kind %q is none of %s", f.kind, strings.Join(isolateKinds, ", ")))
	}
	if f.last != "" {
		d, ok := duration(f.last)
		if !ok || d < time.Second {
			return usage(fmt.Errorf("--for %q is no duration such as 30m, 2h or 1d", f.last))
		}
		req.TTLSecs = int64(d / time.Second)
	}
	if req.Reason == "" {
		req.Reason = byWhom()
	}
	var held containerguard.Quarantined
	if err := a.askGuard(ctx, f.host, containerguard.VerbIsolate, req, &held); err != nil {
		return err
	}
	if a.json {
		return a.printJSON(held)
	}
	text := fmt.Sprintf("%s (%s) is %s by %s", clean(held.Name), briefID(held.Container), held.State, held.Kind)
	if !held.FrozenAt.IsZero() {
		text += fmt.Sprintf(", frozen after %d ms", held.FrozenAt.Sub(held.Ordered).Milliseconds())
	}
	if !held.Expires.IsZero() {
		text += ", until " + a.when(held.Expires)
	}
	a.line(text)
	a.tell("give it back: ironpost release " + clean(held.Name))
	if held.Error != "" {
		return errors.New(held.Error)
	}
	return nil
}
