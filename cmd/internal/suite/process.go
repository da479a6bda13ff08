package suite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/event"
	"github.com/ironpost/ironpost/internal/config"
	"github.com/ironpost/ironpost/internal/logging"
	"github.com/ironpost/ironpost/internal/ownership"
)

// The exit codes of a program. A second signal ends it with 128 plus its number.
const (
	exitOK     = 0
	exitError  = 1
	exitUsage  = 2
	exitConfig = 3
)

const configVariable = "IRONPOST_CONFIG"

const singleHelp = `%s runs one module of Ironpost, %s, in a process of
its own. It joins the bus of a daemon, on this machine or another: bus.url names it,
bus.credentials_file holds its key. It reads the same configuration file as the daemon
does; its module runs whatever its section says of "enabled".

Signals and exit codes are those of ironpost-daemon.`

const daemonHelp = `ironpost-daemon watches this machine: it runs every module that the
configuration enables and the bus between them, until SIGTERM or SIGINT.

Without a file at the default path the built-in defaults hold, so it can be
started with no argument at all. Watch what it finds with

  nats sub ironpost.alerts
  ironpost alerts --follow
  ironpost status

Signals:
  SIGTERM, SIGINT   stop: producers first, then their consumers, which finish what
                    is pending; a second one ends at once
  SIGHUP            read the configuration again, all or nothing

Exit codes:
  0  stopped cleanly
  1  could not start, or did not stop in time
  2  wrong usage
  3  the configuration is not valid
  130, 143  a second SIGINT or SIGTERM ended it at once`

const daemonExample = `  ironpost-daemon --log-format pretty
  ironpost-daemon -c /etc/ironpost/ironpost.toml
  ironpost-daemon -c ./ironpost.toml --validate`

// Process is a program's operating-system interface: arguments, environment, output, signals.
type Process struct {
	Args           []string // without the program's name
	Getenv         func(string) string
	Stdout, Stderr io.Writer
	Signals        <-chan os.Signal
	Program        Program

	output *logging.Output // to Stderr; what runs writes to it, so that nothing waits for a reader
}

// flushPatience is how long the end of the process waits for the reader of the log.
const flushPatience = time.Second

// OS returns the Process of this program. Its signals are caught from now on.
func OS(program Program) Process {
	signals := make(chan os.Signal, 8) // signal.Notify drops what does not fit; one of a kind is enough
	logging.IgnoreBrokenPipe()
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	return Process{Args: os.Args[1:], Getenv: os.Getenv, Stdout: os.Stdout, Stderr: os.Stderr, Signals: signals, Program: program}
}

// invocation is the parsed command line.
type invocation struct {
	source   Source
	validate bool
	check    bool
}

// Run is the program, from its command line to its exit code. It returns when ctx
// ends, a signal asks for it, or it cannot start.
func (p Process) Run(ctx context.Context) int {
	inv, help, err := p.parse()
	switch {
	case err != nil:
		say(p.Stderr, "%s: %v\nSee %[1]s --help.", p.Program.Name, err)
		return exitUsage
	case help:
		return exitOK
	}
	switch {
	case inv.validate:
		inv.source.Trusted = DaemonUsers()
	case !inv.check:
		inv.source.Trusted = ownership.Self()
	}
	cfg, loaded, err := Load(inv.source)
	if err != nil {
		say(p.Stderr, "%v", err)
		return exitConfig
	}
	if inv.validate {
		return p.validate(cfg, loaded)
	}
	if inv.check {
		return p.check(ctx, cfg)
	}
	p.output = logging.NewOutput(p.Stderr)
	defer p.output.Close(flushPatience)
	return p.exitCode(p.serve(ctx, inv.source, cfg, loaded))
}

// commandLine is what the flags of a program set.
type commandLine struct {
	invocation
	level, format string
}

// command returns the command of the program, which calls run unless help was asked for.
func (p Program) command(line *commandLine, run func()) *cobra.Command {
	cmd := &cobra.Command{
		Use:               p.Name,
		Short:             "Watch this machine and act on what is found",
		Long:              daemonHelp,
		Example:           daemonExample,
		Args:              cobra.NoArgs,
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
		Run:               func(*cobra.Command, []string) { run() },
	}
	if p.single() {
		name := p.Modules[0].of
		cmd.Short, cmd.Long, cmd.Example = "Run the module "+name, fmt.Sprintf(singleHelp, p.Name, name), ""
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	flags.StringVarP(&line.source.Path, "config", "c", DefaultPath, "configuration file; a named one must exist")
	flags.StringVar(&line.level, "log-level", "", "trace, debug, info, warn or error; overrides general.log_level")
	flags.StringVar(&line.format, "log-format", "", "json or pretty; overrides general.log_format")
	flags.BoolVar(&line.validate, "validate", false, "check the configuration, rules, policies and\nfeeds, and exit")
	flags.BoolVar(&line.check, "check", false, "check the running instance; exit 6: degraded, 1: unhealthy")
	return cmd
}

// parse reads the command line. help reports that it asked for help, which was printed.
func (p Process) parse() (inv invocation, help bool, err error) {
	help = true
	var line commandLine
	cmd := p.Program.command(&line, func() { help = false })
	cmd.SetArgs(p.Args)
	cmd.SetOut(p.Stdout)
	cmd.SetErr(p.Stderr)
	if err := cmd.Execute(); err != nil {
		return inv, false, err
	}
	flags := cmd.Flags()
	inv = line.invocation
	inv.source.Flags = p.Program.flags()
	inv.source.Named = flags.Changed("config")
	if path := p.Getenv(configVariable); path != "" && !inv.source.Named {
		inv.source.Path, inv.source.Named = path, true
	}
	if flags.Changed("log-level") {
		inv.source.Flags = append(inv.source.Flags, config.Flag{Name: "--log-level", Key: "general.log_level", Value: line.level})
	}
	if flags.Changed("log-format") {
		inv.source.Flags = append(inv.source.Flags, config.Flag{Name: "--log-format", Key: "general.log_format", Value: line.format})
	}
	return inv, help, nil
}

// validate checks the files that cfg names, too, and returns the exit code.
func (p Process) validate(cfg Config, loaded *config.Loaded) int {
	problems := CheckFiles(cfg, p.Program.Modules)
	for _, problem := range problems {
		say(p.Stderr, "%s", event.Printable(problem.Error(), maxProblem))
	}
	if len(problems) > 0 {
		return exitConfig
	}
	p.reportValid(loaded)
	return exitOK
}

// maxProblem bounds, in bytes, how a mistake in a file is shown.
const maxProblem = 4096

func (p Process) reportValid(loaded *config.Loaded) {
	for _, w := range loaded.Warnings {
		say(p.Stderr, "warning: %s", w)
	}
	what := "the defaults and the environment"
	if loaded.Found {
		what = loaded.Path
	}
	say(p.Stdout, "valid: %s", what)
}

// exitCode returns the exit code for err, which it also prints to the output.
func (p Process) exitCode(err error) int {
	if err == nil || errors.Is(err, errInterrupted) {
		return exitOK
	}
	say(p.output, "%s: %s", p.Program.Name, strings.ReplaceAll(err.Error(), "\n", "; "))
	var coded interface{ ExitCode() int }
	if errors.As(err, &coded) {
		return coded.ExitCode()
	}
	return exitError
}

// say writes a line to a standard stream. An error of the write has no place to go.
func say(w io.Writer, format string, args ...any) { _, _ = fmt.Fprintf(w, format+"\n", args...) }
