package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/cmd/internal/suite"
	"github.com/ironpost/ironpost/internal/config"
)

// app is one call of the command.
type app struct {
	out   *output
	err   io.Writer
	ran   bool
	paint painter

	// global flags
	config  string
	json    bool
	utc     bool
	colour  string
	socket  string
	url     string
	key     string
	tls     tlsFlags
	timeout time.Duration
}

// run carries out args and returns the exit code. It writes results to out, all else to errs.
func run(ctx context.Context, args []string, out, errs io.Writer) int {
	a := &app{out: &output{w: out}, err: errs}
	root := a.root() //nolint:contextcheck // cobra hands it on
	root.SetArgs(args)
	root.SetOut(a.out)
	root.SetErr(errs)
	err := errors.Join(root.ExecuteContext(ctx), a.out.err)
	code := codeOf(err, a.ran)
	a.explain(err, code)
	return code
}

// output remembers that something could not be written, so that not every line must be checked.
type output struct {
	w   io.Writer
	err error
}

// Write implements io.Writer. After an error it writes nothing more.
func (o *output) Write(p []byte) (int, error) {
	if o.err != nil {
		return 0, o.err
	}
	n, err := o.w.Write(p)
	if err != nil {
		o.err = fmt.Errorf("write output: %w", err)
	}
	return n, o.err
}

// line prints one line of results; run returns what went wrong.
func (a *app) line(text string) { _, _ = fmt.Fprintln(a.out, text) }

// tell says something beside the results. If nobody hears it, nobody can be told.
func (a *app) tell(text string) { _, _ = fmt.Fprintln(a.err, text) }

// explain tells err to a person, every line escaped.
func (a *app) explain(err error, code int) {
	var own *codedError
	if code == exitOK || (errors.As(err, &own) && own.silent) {
		return
	}
	a.tell("ironpost: " + words(err))
	if code == exitUsage {
		a.tell("See ironpost --help, or ironpost <command> --help.")
	}
}

const rootLong = `ironpost shows what Ironpost on this machine is doing: whether its modules are
well, which alerts it raised, what was done about them, and whether the audit
trail of that is intact.

It talks to the daemon through its unix socket, which root and the members of the
group ironpost may use, over the external bus that the configuration names, or to a
remote one with --url and --key.

`

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "ironpost",
		Short: "see what Ironpost sees",
		Long:  rootLong + exitHelp,
		Example: `  ironpost status                             is everything running, and if not, why
  ironpost alerts --since 1h --severity high  the serious alerts of the last hour
  ironpost alerts --follow                    alerts as they are raised
  ironpost replay incident.pcap               what would have been found in a capture or a log
  ironpost audit verify                       was the record of actions changed
  ironpost config show --section bus          what is set, and where`,
		SilenceErrors: true, SilenceUsage: true,
		Args: aCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRunE: func(*cobra.Command, []string) error {
			return a.prepare()
		},
	}
	a.globalFlags(root)
	root.AddCommand(a.statusCommand(), a.alertsCommand(), a.actionsCommand(), a.auditCommand(),
		a.isolateCommand(), a.releaseCommand(), a.quarantineCommand(), a.evidenceCommand(), a.policiesCommand(), a.blocklistCommand(),
		a.replayCommand(), a.configCommand(), a.versionCommand())
	root.CompletionOptions.HiddenDefaultCmd = false
	return root
}

// group is a command that only has others.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short, Args: aCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(commands...)
	return cmd
}

func (a *app) globalFlags(root *cobra.Command) {
	f := root.PersistentFlags()
	f.StringVarP(&a.config, "config", "c", "", "configuration `file` (default "+suite.DefaultPath+")")
	f.BoolVar(&a.json, "json", false, "machine-readable output")
	f.BoolVar(&a.utc, "utc", false, "show times in UTC, not in local time")
	f.StringVar(&a.colour, "color", "auto", "colour: auto, always or never; NO_COLOR is heeded")
	f.StringVar(&a.socket, "socket", "", "unix socket of the daemon, by `path` (default: bus.socket)")
	f.StringVar(&a.url, "url", "", "connect to a daemon on another machine, such as tls://hub:4222")
	f.StringVar(&a.key, "key", "", "`file` with the nkey seed for --url")
	f.StringVar(&a.tls.ca, "tls-ca", "", "PEM `file` of the authority that signed the server's certificate")
	f.StringVar(&a.tls.cert, "tls-cert", "", "PEM `file` of the client certificate")
	f.StringVar(&a.tls.key, "tls-key", "", "PEM `file` of the client certificate's key")
	f.DurationVar(&a.timeout, "timeout", 5*time.Second, "how long to wait for the daemon")
}

// prepare is called before a command runs, after its flags were read.
func (a *app) prepare() error {
	painter, err := newPainter(a.colour, a.out.w)
	if err != nil {
		return usage(err)
	}
	if a.timeout <= 0 {
		return usage(fmt.Errorf("--timeout %v is not positive", a.timeout))
	}
	a.paint, a.ran = painter, true
	return nil
}

// load reads the configuration.
func (a *app) load() (suite.Config, *config.Loaded, error) {
	if path := a.configPath(); path != "" {
		return suite.Load(suite.Source{Path: path, Named: true})
	}
	return suite.Load(suite.Source{Path: suite.DefaultPath})
}

// configPath is the file that a person named, with --config or as the daemon's variable; empty if nobody did.
func (a *app) configPath() string {
	return cmp.Or(a.config, os.Getenv("IRONPOST_CONFIG"))
}
