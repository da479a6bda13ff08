package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/bus"
	"github.com/ironpost/ironpost/services/containerguard"
	"github.com/ironpost/ironpost/services/containerguard/policy"
	"github.com/ironpost/ironpost/services/containerguard/quarantine"
)

// minGuardTimeout leaves the guard the 4 seconds it may take for one request.
const minGuardTimeout = 6 * time.Second

// callGuard sends req to the container guard of host by verb and decodes the
// answer into resp. An empty host is that of the daemon.
func (a *app) callGuard(ctx context.Context, host, verb string, req, resp any) error {
	return a.withGuard(ctx, host, func(ctx context.Context, conn *bus.Conn, host string) error {
		return conn.Request(ctx, bus.VerbSubject(bus.ContainerGuard, host, verb), req, resp)
	})
}

// operateGuard is callGuard for an act, which the guard does in the operator's name.
func (a *app) operateGuard(ctx context.Context, host, verb string, req, resp any) error {
	return a.withGuard(ctx, host, func(ctx context.Context, conn *bus.Conn, host string) error {
		return conn.Operate(ctx, bus.ContainerGuard, host, verb, req, resp)
	})
}

func (a *app) withGuard(ctx context.Context, host string, ask func(ctx context.Context, conn *bus.Conn, host string) error) error {
	return a.withTimeout(ctx, max(a.timeout, minGuardTimeout), func(ctx context.Context, conn *bus.Conn) error {
		host, err := hostOrDaemon(host, conn)
		if err != nil {
			return err
		}
		err = ask(ctx, conn, host)
		if errors.Is(err, bus.ErrUnreachable) {
			return &codedError{code: exitUnreachable, err: fmt.Errorf("no container guard answers on %s: set container.enabled, or see ironpost status", host)}
		}
		return err
	})
}

// shortID cuts the id of a container or an action as docker ps does.
func shortID(id string) string { return id[:min(12, len(id))] }

type isolateFlags struct {
	kind     string
	reason   string
	duration string
	host     string
	force    bool
}

var isolateKinds = []string{"isolate", "cut-egress", "pause", "disconnect", "kill", "stop"}

func (a *app) isolateCommand() *cobra.Command {
	var f isolateFlags
	cmd := &cobra.Command{
		Use:   "isolate <container>",
		Short: "freeze a container and disconnect its networks",
		Long: `Puts a container in quarantine: freezes its processes, disconnects it from
every network, and saves evidence of what it was doing. The guard keeps it so,
even if Docker, Compose or a user changes it, until it is released.
The container is given by name, by id, or by the beginning of the id.

--kind chooses a part of this, or less:
  cut-egress  the container serves on, but begins no connections, and those
              that it began end
  pause       freeze only
  disconnect  disconnect the networks only
  kill        kill the container at once
  stop        freeze, save evidence, then kill the container

A protected container is refused unless --force is given; the guard's own
container is always refused.`,
		Example: `  ironpost isolate web-1
  ironpost isolate 4f6c1b2a9d3e --for 2h --reason "odd outbound traffic"
  ironpost isolate web-1 --kind cut-egress`,
		Args: oneArg,
		RunE: func(cmd *cobra.Command, args []string) error { return a.isolate(cmd.Context(), args[0], f) },
	}
	cmd.Flags().StringVar(&f.kind, "kind", "isolate", "what to do, see above")
	cmd.Flags().StringVar(&f.reason, "reason", "", "explanation for later readers")
	cmd.Flags().StringVar(&f.duration, "for", "", "`duration` such as 30m, 2h or 1d\n(default: until released)")
	cmd.Flags().BoolVar(&f.force, "force", false, "isolate even a protected container")
	hostFlag(cmd, &f.host)
	completeFlag(cmd, "kind", isolateKinds...)
	cmd.ValidArgsFunction = a.complete(a.runningContainers)
	return cmd
}

func (a *app) isolate(ctx context.Context, container string, f isolateFlags) error {
	req := containerguard.IsolateRequest{
		Container: container, Kind: policy.Kind(f.kind), Reason: cmp.Or(f.reason, defaultReason()), Force: f.force,
	}
	if _, known := quarantine.Kind(f.kind).Restrictions(); !known {
		return usageError(fmt.Errorf("--kind %q is none of %s", f.kind, strings.Join(isolateKinds, ", ")))
	}
	if f.duration != "" {
		d, ok := parseDuration(f.duration)
		if !ok || d < time.Second {
			return usageError(fmt.Errorf("--for %q is not a duration such as 30m, 2h or 1d", f.duration))
		}
		req.TTLSecs = int64(d / time.Second)
	}
	var q containerguard.Quarantined
	if err := a.operateGuard(ctx, f.host, containerguard.VerbIsolate, req, &q); err != nil {
		return err
	}
	if a.json {
		return a.printJSON(q)
	}
	text := fmt.Sprintf("%s (%s): %s, %s", clean(q.Name), shortID(q.Container), q.Kind, q.State)
	if !q.FrozenAt.IsZero() {
		text += fmt.Sprintf(", frozen after %d ms", q.FrozenAt.Sub(q.Ordered).Milliseconds())
	}
	if !q.Expires.IsZero() {
		text += ", until " + a.time(q.Expires)
	}
	a.printf("%s", text)
	a.notef("to undo: ironpost release %s", clean(q.Name))
	if q.Error != "" {
		return errors.New(q.Error)
	}
	return nil
}

func (a *app) releaseCommand() *cobra.Command {
	var host, reason string
	cmd := &cobra.Command{
		Use:   "release <container>",
		Short: "release a container from quarantine",
		Long: `Ends the quarantine of a container: restores its networks with names and
addresses and its restart policy, and resumes its processes. Its old connections
are destroyed first, so that no attacker's session resumes; where that is not
possible, as with a guard that runs in a container itself, the container is
restarted instead. Exits with 6, and prints what differs, if the container runs
again without all that it had: a port that is taken, a network that is gone. The
guard tries that again for an hour; a further release does so at once.`,
		Example: `  ironpost release web-1
  ironpost release 4f6c1b2a9d3e --reason "false alarm"`,
		Args: oneArg,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.release(cmd.Context(), host, containerguard.ReleaseRequest{Container: args[0], Reason: cmp.Or(reason, defaultReason())})
		},
	}
	cmd.ValidArgsFunction = a.complete(a.isolatedContainers)
	hostFlag(cmd, &host)
	cmd.Flags().StringVar(&reason, "reason", "", "explanation for later readers")
	return cmd
}

func (a *app) release(ctx context.Context, host string, req containerguard.ReleaseRequest) error {
	var reply containerguard.ReleaseReply
	if err := a.operateGuard(ctx, host, containerguard.VerbRelease, req, &reply); err != nil {
		return err
	}
	var unrestored error
	if reply.Unrestored {
		unrestored = silentError(exitDegraded, "the container is not as before")
	}
	if a.json {
		return errors.Join(a.printJSON(reply), unrestored)
	}
	state := "is released"
	switch {
	case reply.Unrestored:
		state = "runs again, but not as before; this is tried again for an hour:"
	case reply.Pending:
		state = "is being released"
	}
	a.printf("%s (%s) %s", clean(reply.Name), shortID(reply.Container), state)
	for _, difference := range reply.Differences {
		a.printf("%s", clean(difference))
	}
	if unrestored != nil {
		return unrestored
	}
	if reply.Error != "" {
		return errors.New(reply.Error)
	}
	return nil
}

func (a *app) quarantineCommand() *cobra.Command {
	return group("quarantine", "list the containers in quarantine", a.quarantineListCommand(), a.quarantineWaitingCommand())
}

func (a *app) quarantineListCommand() *cobra.Command {
	var host string
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "list the containers in quarantine",
		Long: `Lists the containers in quarantine, the oldest first, with the policy that
isolated them. STATE is held if every step was done, and partial if a step was
refused; WHY then says which. It is removed if the container was removed: one
that is made in its place is isolated, too, if it is from the same image.`,
		Example: `  ironpost quarantine list
  ironpost quarantine list --json | jq -r '.held[].name'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.quarantineList(cmd.Context(), host) },
	}
	hostFlag(cmd, &host)
	return cmd
}

func (a *app) quarantineList(ctx context.Context, host string) error {
	var reply containerguard.QuarantineReply
	if err := a.callGuard(ctx, host, containerguard.VerbQuarantine, nil, &reply); err != nil {
		return err
	}
	if a.json {
		return a.printJSON(reply)
	}
	if reply.Docker != "" {
		a.notef("warning: Docker cannot be asked, this is the ledger: %s", clean(reply.Docker))
	}
	if len(reply.Quarantined) == 0 {
		a.notef("no container is in quarantine")
		return nil
	}
	list := rows{columns: []column{
		{"NAME", 32}, {"CONTAINER", 12}, {"KIND", 10}, {"STATE", 9}, {"SINCE", 25}, {"UNTIL", 25}, {"ACTION", 12}, {"POLICY", 24}, {"WHY", 120},
	}}
	for _, h := range reply.Quarantined {
		state := h.State
		if !h.Removed.IsZero() {
			state = "removed"
		}
		list.add(h.Name, shortID(h.Container), h.Kind, state, a.when(h.Since, a.time), a.when(h.Expires, a.time), shortID(h.Action),
			h.Policy, cmp.Or(h.Error, h.Reason))
	}
	a.printTables(list)
	if reply.Incomplete > 0 {
		a.notef("and %d more", reply.Incomplete)
	}
	return nil
}
