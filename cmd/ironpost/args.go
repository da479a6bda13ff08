package main

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/user"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/bus"
)

// knownCommand refuses an argument that is not a subcommand of cmd and suggests
// similar ones.
func knownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	const similar = 2 // letters that differ
	cmd.SuggestionsMinimumDistance = similar
	err := fmt.Errorf("unknown command %q for %q", args[0], cmd.CommandPath())
	if names := cmd.SuggestionsFor(args[0]); len(names) > 0 {
		err = fmt.Errorf("%w: did you mean %s?", err, strings.Join(names, " or "))
	}
	return err
}

func oneArg(cmd *cobra.Command, args []string) error {
	if len(args) == 1 {
		return nil
	}
	return fmt.Errorf("one argument is needed, %d were given: %s", len(args), cmd.UseLine())
}

func atLeastOneArg(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return nil
	}
	return fmt.Errorf("an argument is needed: %s", cmd.UseLine())
}

// completeFlag offers the values of a flag to the shell.
func completeFlag(cmd *cobra.Command, flag string, values ...string) {
	if err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // the flag does not exist: a mistake in this program
	}
}

// parseSince reads --since: a duration back from now (90m, 24h, 7d), a time as
// in RFC 3339, or a day. Empty and "all" are the zero time.
func parseSince(text string, now time.Time) (time.Time, error) {
	if text == "" || text == "all" {
		return time.Time{}, nil
	}
	if d, ok := parseDuration(text); ok {
		return now.Add(-d), nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, usageError(fmt.Errorf("--since %q is neither a duration such as 90m, 24h or 7d, nor a time such as 2026-11-23 or 2026-11-23T08:00:00Z, nor all", text))
}

// parseDuration is time.ParseDuration with days, without negative durations.
func parseDuration(text string) (time.Duration, bool) {
	if n := len(text) - 1; n > 0 && text[n] == 'd' {
		days, err := strconv.ParseUint(text[:n], 10, 16)
		return time.Duration(days) * 24 * time.Hour, err == nil
	}
	d, err := time.ParseDuration(text)
	return d, err == nil && d >= 0
}

// parseNetwork reads a prefix; an address is the prefix that holds it alone.
func parseNetwork(text string) (netip.Prefix, error) {
	if strings.Contains(text, "/") {
		p, err := netip.ParsePrefix(text)
		return p.Masked(), err
	}
	ip, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Prefix{}, err
	}
	return ip.Unmap().Prefix(ip.Unmap().BitLen())
}

func hostFlag(cmd *cobra.Command, host *string) {
	cmd.Flags().StringVar(host, "host", "", "machine to ask (default: that of the daemon)")
}

// hostOrDaemon returns host, else the host of the daemon, which only a
// connection through --url does not know.
func hostOrDaemon(host string, conn *bus.Conn) (string, error) {
	if host = cmp.Or(host, conn.Host()); host == "" {
		return "", usageError(errors.New("--url needs --host: the machine to ask"))
	}
	return host, nil
}

// defaultReason names the operator, also behind sudo, where --reason is empty.
func defaultReason() string {
	name := os.Getenv("SUDO_USER")
	if u, err := user.Current(); err == nil {
		name = cmp.Or(name, u.Username)
	}
	if name = strings.ToValidUTF8(name, "?"); name == "" || len(name) > bus.MaxBlockReason/2 {
		return ""
	}
	return "by " + name
}
