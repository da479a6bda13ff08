package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/cmd/internal/suite"
	"github.com/ironpost/ironpost/internal/config"
)

// app is one run of the command: its outputs and the global flags.
type app struct {
	out     *output
	err     io.Writer
	paint   painter
	started bool // the flags were read and the command itself runs

	config string
	json   bool

	following bool // lines stay on the screen while time passes
	utc       bool
	colour    string
	socket    string
	url       string
	key       string
	tls       tlsFlags
	timeout   time.Duration
}

// run executes the command line args and returns the exit code. Results go to
// out, notes and errors to errs.
func run(ctx context.Context, args []string, out, errs io.Writer) int {
	a := &app{out: &output{w: out}, err: errs}
	root := a.rootCommand() //nolint:contextcheck // cobra hands it on
	root.SetArgs(args)
	root.SetOut(a.out)
	root.SetErr(errs)
	err := errors.Join(root.ExecuteContext(ctx), a.out.err)
	code := exitCode(err, a.started)
	var coded *codedError
	if code == exitOK || errors.As(err, &coded) && coded.silent {
		return code
	}
	a.json = a.json || slices.Contains(args, "--json") // flags before a wrong one were not read
	a.printError(err, code)
	return code
}

// printedError is what a failed command prints to standard error with --json.
type printedError struct {
	Error string `json:"error"` // what is wrong, and what to do; several problems are lines
	Code  int    `json:"code"`  // the exit code
}

// printedNote is a line of standard error that is no error, with --json.
type printedNote struct {
	Note string `json:"note"`
}

// printError prints why the command failed to standard error, with --json as JSON.
func (a *app) printError(err error, code int) {
	if a.json {
		printJSONTo(a.err, printedError{Error: errorText(err), Code: code})
		return
	}
	a.notef("ironpost: %s", errorText(err))
	if code == exitUsage {
		a.notef("See ironpost --help, or ironpost <command> --help.")
	}
}

const rootLong = `ironpost shows what Ironpost is doing: whether its modules are healthy, which
alerts they raised, what was done about them, and whether the audit trail is
intact. It also isolates containers and blocks addresses by hand.

It connects to the daemon's unix socket, which root and the members of the
group ironpost may use; or to the external bus that the configuration names;
or to another machine with --url and --key.

`

func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "ironpost",
		Short: "operate Ironpost",
		Long:  rootLong + exitHelp,
		Example: `  ironpost status                             are all modules healthy
  ironpost alerts --since 1h --severity high  serious alerts of the last hour
  ironpost alerts --follow                    alerts as they are raised
  ironpost actions --phase failed             actions that failed
  ironpost blocklist add 203.0.113.7          block an address for 24 hours
  ironpost isolate web-1                      freeze and disconnect a container
  ironpost replay incident.pcap               detect attacks in a capture
  ironpost scan .                             vulnerable packages in a folder
  ironpost audit verify                       was the audit trail changed
  ironpost config show --section bus          values and their origin`,
		SilenceErrors: true, SilenceUsage: true,
		Args: knownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRunE: func(*cobra.Command, []string) error {
			return a.checkGlobalFlags()
		},
	}
	a.globalFlags(root)
	root.AddCommand(a.statusCommand(), a.alertsCommand(), a.actionsCommand(), a.auditCommand(),
		a.isolateCommand(), a.releaseCommand(), a.approveCommand(), a.notifyCommand(), a.quarantineCommand(), a.evidenceCommand(), a.policiesCommand(), a.blocklistCommand(),
		a.busCommand(), a.sendCommand(), a.replayCommand(), a.scanCommand(), a.vulndbCommand(), a.sbomCommand(), a.logsCommand(), a.storageCommand(),
		a.configCommand(), a.doctorCommand(), a.supportCommand(), a.versionCommand())
	root.CompletionOptions.HiddenDefaultCmd = false
	root.SetUsageTemplate(strings.Replace(root.UsageTemplate(), inheritedFlags, `Global flags, such as --json, --utc, --socket and --config: ironpost --help`, 1))
	return root
}

// inheritedFlags is the part of cobra's template that repeats the global flags at the end of every page.
const inheritedFlags = `Global Flags:
{{.InheritedFlags.FlagUsages | trimTrailingWhitespaces}}`

// group returns a command that only has subcommands.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short, Args: knownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(commands...)
	return cmd
}

func (a *app) globalFlags(root *cobra.Command) {
	f := root.PersistentFlags()
	f.StringVarP(&a.config, "config", "c", "", "configuration `file`\n(default "+suite.DefaultPath+")")
	f.BoolVar(&a.json, "json", false, "print JSON, also notes and errors")
	f.BoolVar(&a.utc, "utc", false, "show times in UTC, in tables, too, which\notherwise say how long ago")
	f.StringVar(&a.colour, "color", "auto", "auto, always or never; auto respects\nNO_COLOR")
	f.StringVar(&a.socket, "socket", "", "`path` of the daemon's unix socket\n(default: bus.socket)")
	f.StringVar(&a.url, "url", "", "connect to another machine, such as\ntls://hub:4222")
	f.StringVar(&a.key, "key", "", "`file` with the nkey seed for --url")
	f.StringVar(&a.tls.ca, "tls-ca", "", "PEM `file` of the CA that signed the\nserver's certificate")
	f.StringVar(&a.tls.cert, "tls-cert", "", "PEM `file` of the client certificate")
	f.StringVar(&a.tls.key, "tls-key", "", "PEM `file` of the client certificate's key")
	f.DurationVar(&a.timeout, "timeout", 5*time.Second, "how long to wait for the daemon")
}

// checkGlobalFlags runs before every command, after the flags were read.
func (a *app) checkGlobalFlags() error {
	painter, err := newPainter(a.colour, a.out.w)
	if err != nil {
		return usageError(err)
	}
	if a.timeout <= 0 {
		return usageError(fmt.Errorf("--timeout %v is not positive", a.timeout))
	}
	a.paint, a.started = painter, true
	return nil
}

func (a *app) loadConfig() (suite.Config, *config.Loaded, error) {
	return suite.Load(a.configSource())
}

// configSource is the configuration that the daemon would read.
func (a *app) configSource() suite.Source {
	if path := a.configPath(); path != "" {
		return suite.Source{Path: path, Named: true}
	}
	return suite.Source{Path: suite.DefaultPath}
}

// configPath returns the file named by --config or IRONPOST_CONFIG; empty
// means the default file, which may be missing.
func (a *app) configPath() string {
	return cmp.Or(a.config, os.Getenv("IRONPOST_CONFIG"))
}
