package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/ironpost/ironpost/cmd/internal/suite"
	"github.com/ironpost/ironpost/internal/config"
)

func (a *app) doctorCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "doctor",
		Short: "find what this host lacks, and the command that mends it",
		Long: `Checks what Ironpost needs on this host: the configuration and who may change
it, capabilities, kernel, BTF, cgroups, Docker, ports, disk, clock and inputs.
It asks for no more than the enabled modules need, and works with and without a
running daemon: where one runs, its capabilities count, else those of this user.
Run it as the user of the daemon, or as root. Nothing is changed.

--json follows docs/doctor.schema.json. Exits with 6 if there is a finding.`,
		Example: `  ironpost doctor
  sudo ironpost doctor -c ./ironpost.toml
  ironpost doctor --json | jq -r '.checks[] | select(.status == "finding").fix'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.doctor(cmd.Context()) },
	}
}

// The statuses of a check.
const (
	checkOK      = "ok"
	checkFinding = "finding"
	checkSkipped = "skipped" // what it is about is not enabled, or cannot be found out here
)

// check is one line of doctor, and one element of its --json.
type check struct {
	Name   string `json:"name"`
	Status string `json:"status"`
	What   string `json:"what"`
	Fix    string `json:"fix,omitempty"` // the command that mends a finding
}

// examination is the --json of doctor.
type examination struct {
	Findings int     `json:"findings"`
	Daemon   bool    `json:"daemon_running"`
	Checks   []check `json:"checks"`
}

func (e *examination) ok(name, format string, args ...any) {
	e.Checks = append(e.Checks, check{Name: name, Status: checkOK, What: fmt.Sprintf(format, args...)})
}

func (e *examination) skip(name, why string) {
	e.Checks = append(e.Checks, check{Name: name, Status: checkSkipped, What: why})
}

func (e *examination) find(name, fix, format string, args ...any) {
	e.Findings++
	e.Checks = append(e.Checks, check{Name: name, Status: checkFinding, What: fmt.Sprintf(format, args...), Fix: fix})
}

func (a *app) doctor(ctx context.Context) error {
	e := a.examine(ctx)
	if a.json {
		if err := a.printJSON(e); err != nil {
			return err
		}
	} else {
		a.printExamination(e)
	}
	if e.Findings > 0 {
		return silentError(exitDegraded, "there are findings")
	}
	return nil
}

// printExamination prints the checks in at most 80 columns.
func (a *app) printExamination(e examination) {
	const indent = 24
	for _, c := range e.Checks {
		text := strings.Join(wrap(clean(c.What), reasonWidth-indent), "\n"+strings.Repeat(" ", indent))
		a.printf("%-14s%-10s%s", c.Name, c.Status, text)
		if c.Fix != "" {
			a.printf("%smend: %s", strings.Repeat(" ", indent), clean(c.Fix))
		}
	}
	a.printf("\n%d findings", e.Findings)
}

// examine makes all checks. Nothing in it waits for longer than --timeout.
func (a *app) examine(ctx context.Context) examination {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	e := examination{Checks: []check{}}
	cfg, usable := a.examineConfiguration(&e)
	e.Daemon = a.examineDaemon(ctx, &e)
	if !usable { // the defaults are not what this host is to do
		for _, name := range dependent {
			e.skip(name, "what to check is in the configuration, which cannot be used")
		}
		return e
	}
	examineSystem(&e, cfg)
	examineDocker(ctx, &e, cfg)
	examinePorts(&e, cfg)
	examineData(&e, cfg)
	examineInputs(&e, cfg)
	return e
}

// dependent are the checks of what the configuration names.
var dependent = []string{"kernel", "btf", "bpffs", "capabilities", "cgroups", "docker", "ports", "disk", "permissions", "inputs"}

// examineConfiguration returns the configuration, and false if there is none that can be used.
func (a *app) examineConfiguration(e *examination) (suite.Config, bool) {
	source := suite.Source{Path: suite.DefaultPath, Trusted: suite.DaemonUsers()}
	if path := a.configPath(); path != "" {
		source = suite.Source{Path: path, Named: true, Trusted: source.Trusted}
	}
	cfg, loaded, err := suite.Load(source)
	var invalid *config.Error
	switch {
	case errors.As(err, &invalid):
		e.find("configuration", "ironpost config validate -c "+source.Path, "%d mistakes, the first: %s", len(invalid.Problems), invalid.Problems[0])
		return suite.Config{}, false
	case errors.Is(err, fs.ErrPermission):
		e.find("configuration", "sudo ironpost doctor", "this user may not read it: %v", err)
		return suite.Config{}, false
	case err != nil:
		e.find("configuration", "ironpost config validate -c "+source.Path, "%v", err)
		return suite.Config{}, false
	}
	if problems := append(fileMistakes(cfg), a.policyMistakes(cfg)...); len(problems) > 0 {
		e.find("configuration", "ironpost config validate -c "+source.Path, "%d mistakes in rules, policies or feeds, the first: %s", len(problems), problems[0].What)
		return cfg, true
	}
	if !loaded.Found {
		e.ok("configuration", "no file %s: the defaults hold", source.Path)
		return cfg, true
	}
	if !cfg.General.StrictModes {
		e.ok("configuration", "%s is valid; who may change it is not checked: general.strict_modes is false", source.Path)
		return cfg, true
	}
	e.ok("configuration", "%s is valid, and only the daemon's users can change it", source.Path)
	return cfg, true
}

// examineDaemon reports whether the daemon answers, and takes over what it says.
func (a *app) examineDaemon(ctx context.Context, e *examination) bool {
	conn, err := a.connect(ctx)
	if err != nil {
		e.skip("daemon", "it does not run, or this user may not ask it: capabilities are those of this user")
		return false
	}
	defer func() { _ = conn.Close(ctx) }()
	o, err := collectOverview(ctx, conn)
	if err != nil {
		e.find("daemon", "systemctl restart ironpost", "its bus answers, its health does not: %v", err)
		return true
	}
	reasons := 0
	for _, m := range o.Modules {
		if m.Enabled && m.Status > 0 {
			reasons++
		}
	}
	if reasons > 0 {
		e.find("daemon", "ironpost status", "it runs, and %d modules are not healthy", reasons)
		return true
	}
	e.ok("daemon", "it runs and is healthy")
	return true
}

// needsDocker reports whether an enabled module asks Docker.
func needsDocker(c suite.Config) bool {
	return c.Container.Enabled || c.LogPipeline.Enabled && c.LogPipeline.Docker() || c.SBOM.Enabled && c.SBOM.Images
}

func examineDocker(ctx context.Context, e *examination, c suite.Config) {
	if !needsDocker(c) {
		e.skip("docker", "no enabled module uses it")
		return
	}
	network, address := "unix", c.Container.DockerSocket
	if rest, tcp := strings.CutPrefix(address, "tcp://"); tcp {
		network, address = "tcp", rest
	}
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	switch {
	case errors.Is(err, fs.ErrPermission):
		e.find("docker", "usermod -aG docker ironpost && systemctl restart ironpost", "this user may not use %s", address)
	case err != nil:
		e.find("docker", "systemctl start docker", "it does not answer: %v", err)
	default:
		_ = conn.Close()
		e.ok("docker", "it listens on %s", address)
	}
}

// examinePorts tries the addresses of listeners, unless the daemon that has them runs; what it could not take, it says itself.
func examinePorts(e *examination, c suite.Config) {
	if e.Daemon {
		e.ok("ports", "the running daemon says in its status which it could not take")
		return
	}
	taken := 0
	for _, l := range []struct {
		open                  bool
		key, network, address string
	}{
		{c.Bus.Observer && c.Bus.Mode == suite.BusEmbedded, "bus.observer_listen", "tcp", c.Bus.ObserverListen},
		{c.Bus.Listen != "", "bus.listen", "tcp", c.Bus.Listen},
		{c.Metrics.Enabled, "metrics.listen", "tcp", c.Metrics.Listen},
		{c.LogPipeline.Enabled && c.LogPipeline.SyslogTCP(), "log_pipeline.syslog_tcp_bind", "tcp", c.LogPipeline.SyslogTCPBind},
		{c.LogPipeline.Enabled && c.LogPipeline.SyslogUDP(), "log_pipeline.syslog_bind", "udp", c.LogPipeline.SyslogBind},
		{c.LogPipeline.Enabled && c.LogPipeline.SyslogTLS(), "log_pipeline.syslog_tls_bind", "tcp", c.LogPipeline.SyslogTLSBind},
	} {
		if !l.open {
			continue
		}
		if err := tryListen(l.network, l.address); err != nil {
			_, port, _ := net.SplitHostPort(l.address)
			taken++
			e.find("ports", "ss -lntup 'sport = :"+port+"'", "%s: %v", l.key, err)
		}
	}
	if taken == 0 {
		e.ok("ports", "all are free")
	}
}

func tryListen(network, address string) error {
	if network == "udp" {
		conn, err := net.ListenPacket(network, address)
		if err != nil {
			return err
		}
		return conn.Close()
	}
	listener, err := net.Listen(network, address)
	if err != nil {
		return err
	}
	return listener.Close()
}

// examineInputs tries to read the journal and the watched files.
func examineInputs(e *examination, c suite.Config) {
	if !c.LogPipeline.Enabled || !c.LogPipeline.Files() && !c.LogPipeline.Journal() {
		e.skip("inputs", "no files are watched")
		return
	}
	inUse, err := c.LogPipeline.JournalInUse()
	if err != nil {
		e.find("inputs", "usermod -aG systemd-journal ironpost && systemctl restart ironpost", "this user may not read the journal: %v", err)
	}
	patterns, readable := c.LogPipeline.WatchPaths, 0
	if !c.LogPipeline.Files() {
		patterns = nil
	}
	for _, pattern := range patterns {
		paths, _ := filepath.Glob(pattern)
		for _, path := range paths {
			switch err := tryRead(path); {
			case err == nil:
				readable++
			case errors.Is(err, fs.ErrPermission):
				e.find("inputs", "usermod -aG adm ironpost && systemctl restart ironpost", "this user may not read %s", path)
			default:
				e.find("inputs", "ls -l "+path, "%v", err)
			}
		}
	}
	if inUse {
		e.ok("inputs", "the journal is in use, and %d watched files can be read", readable)
		return
	}
	if readable == 0 {
		e.find("inputs", "apt-get install rsyslog", "no journal is in use, and none of %d watch_paths is there and readable: name the files that this host writes", len(c.LogPipeline.WatchPaths))
		return
	}
	e.ok("inputs", "%d watched files can be read", readable)
}

// tryRead opens a regular file; opening a FIFO would wait for its writer.
func tryRead(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is no regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return f.Close()
}
